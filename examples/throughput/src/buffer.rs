//! Memory of a request: its own, or one piece that all of them share.

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, memfd_create};

/// Memory that a request lends while it is under way.
#[derive(Debug)]
pub enum Buffer {
    /// Of its own.
    Own(Vec<u8>),
    /// Seen by others, too.
    Shared(MmapMut),
}

impl Buffer {
    /// So many that are one and the same `length` bytes of memory, each at an address of its own:
    /// whatever is read into one is in all. `iscsi-perf` reads everything into one buffer, and a
    /// cache that holds it makes the kernel's copy up to twice as fast.
    ///
    /// # Errors
    ///
    /// The memory is not to be had.
    pub fn sharing(length: usize, count: usize, filled_with: u8) -> io::Result<Vec<Self>> {
        let memory = File::from(memfd_create("buffer", MemfdFlags::CLOEXEC)?);
        memory.set_len(length as u64)?;
        let one = || {
            // SAFETY: the file has no name, so that nobody shortens it. Whoever looks into one
            // buffer while another is written sees bytes change, and nobody looks before all
            // requests are done.
            let mapped = unsafe { MmapOptions::new().len(length).populate().map_mut(&memory) };
            mapped.map(Self::Shared)
        };
        let mut all = (0..count).map(|_| one()).collect::<io::Result<Vec<Self>>>()?;
        all.iter_mut().for_each(|buffer| buffer.as_mut().fill(filled_with));
        Ok(all)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_into_one_is_in_all() {
        let mut all = Buffer::sharing(8192, 3, 0xa5).unwrap();
        assert!(all.iter().all(|buffer| buffer.as_ref() == [0xa5; 8192]));
        all[1].as_mut()[4097] = 7;
        assert!(all.iter().all(|buffer| buffer.as_ref()[4097] == 7));
    }
}
