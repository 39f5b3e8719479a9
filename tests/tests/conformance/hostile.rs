//! B-HX: hostile or broken PDUs.
