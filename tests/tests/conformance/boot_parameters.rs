//! B-BT: root paths and boot parameters.
