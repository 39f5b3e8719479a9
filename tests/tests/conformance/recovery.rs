//! B-RC: session recovery at error recovery level 0.
