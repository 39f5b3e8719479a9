//! B-TG: whose answer is it?
