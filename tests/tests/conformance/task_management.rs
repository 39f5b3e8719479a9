//! B-TM: task management responses.
