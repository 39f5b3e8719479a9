//! B-LO: logout responses.
