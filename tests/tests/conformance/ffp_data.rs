//! UNH-IOL full feature phase 6 and 8–13: data both ways, R2T.
