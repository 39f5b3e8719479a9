//! UNH-IOL login phase.
