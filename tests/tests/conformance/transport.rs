//! B-TP: what the connection does.
