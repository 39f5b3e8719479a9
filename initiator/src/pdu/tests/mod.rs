//! Tests of the whole room: bytes written by hand, both directions, and the stream.

mod round_trip;
mod stream;
mod vectors;
