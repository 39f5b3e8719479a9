//! B-TX: text requests and SendTargets.
