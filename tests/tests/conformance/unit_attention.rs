//! B-UA: unit attentions, and units that are not ready.
