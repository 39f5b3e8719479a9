//! The login phase (RFC 7143 §6, §12, §13): text, keys, CHAP, and the state machine over them.
