//! B-RD: the target sends us elsewhere.
