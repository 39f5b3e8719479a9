//! B-NP: pings both ways.
