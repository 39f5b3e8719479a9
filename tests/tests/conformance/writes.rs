//! B-WX: Data-Out and R2T.
