//! B-RJ: Reject of each reason.
