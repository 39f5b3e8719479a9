//! UNH-IOL full feature phase 1–5 and 7: numbering, immediate delivery, the command window.
