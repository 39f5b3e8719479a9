//! What a bad network does to data: nothing; and to the time it takes.

mod connection;
mod measure;
mod peer;
mod real;
mod segment;
