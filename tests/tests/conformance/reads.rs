//! B-RX: Data-In and residuals.
