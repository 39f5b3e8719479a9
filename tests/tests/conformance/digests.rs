//! B-DG: digests, right and wrong, on every kind of PDU.
