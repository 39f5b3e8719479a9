//! B-CH: CHAP and security beyond the suite.
