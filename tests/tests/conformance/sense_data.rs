//! B-SE: sense data of every form.
