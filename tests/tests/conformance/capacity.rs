//! B-CP: capacity, geometry, write protection.
