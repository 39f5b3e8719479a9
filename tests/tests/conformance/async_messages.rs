//! B-AM: Asynchronous Messages.
