//! B-LN: keys, stages, the C bit.
