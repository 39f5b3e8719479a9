//! What a bad network does to data: nothing; and to the time it takes.

mod measure;
mod real;
mod segment;
