//! Bytes on their way out: long data goes as it lies, without another copy.

use std::io::{self, ErrorKind, IoSlice, Write};

/// Headers, digests and short data are put together up to so many bytes.
const TOGETHER: usize = 4096;

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: Vec<Vec<u8>>,
    length: usize,
}

impl Output {
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        self.length += bytes.len();
        match self.pieces.last_mut() {
            Some(last) if last.len() + bytes.len() <= TOGETHER => last.extend(bytes),
            _ => self.pieces.push(bytes),
        }
    }

    /// All of them in one.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// Writes all of them.
    pub(super) fn write_to(&self, mut stream: impl Write) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> =
            self.pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        let mut left = self.length;
        while left != 0 {
            match stream.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    left -= count;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes no more than seven bytes at a time, and is interrupted before each.
    #[derive(Default)]
    struct Narrow(Vec<u8>, bool);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = bytes.len().min(7);
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_pushed_comes_out_in_order_however_little_is_taken_at_once() {
        let lengths = [0, 48, 4, TOGETHER + 1, 3, 0, TOGETHER - 3, 1, 2];
        let piece = |(index, length): (usize, usize)| vec![index as u8; length];
        let mut output = Output::default();
        lengths.into_iter().enumerate().map(piece).for_each(|bytes| output.push(bytes));
        let expected = lengths.into_iter().enumerate().map(piece).collect::<Vec<_>>().concat();
        let mut stream = Narrow::default();
        output.write_to(&mut stream).unwrap();
        assert!(stream.0 == expected);
        assert!(output.into_bytes() == expected);
    }

    #[test]
    fn a_stream_that_takes_nothing_more_is_an_error() {
        let mut output = Output::default();
        output.push(vec![7; 20]);
        let error = output.write_to([0; 10].as_mut_slice()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
    }
}
