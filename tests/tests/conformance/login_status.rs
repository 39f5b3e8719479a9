//! B-LS: every status class and detail of a Login Response.
