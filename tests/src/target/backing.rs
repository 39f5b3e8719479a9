//! Where the bytes of a LUN are: in memory, page by page, or in a file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Bytes at offsets; what was never written reads as zeros.
pub trait Backing: Send + Sync {
    /// Bytes in all.
    fn length(&self) -> u64;

    /// Fills `out` from `offset`.
    ///
    /// # Errors
    /// What the medium says: the command ends with a medium error.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Stores `bytes` at `offset`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written durable.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn flush(&self) -> io::Result<()>;

    /// Releases `length` bytes from `offset` on: they read as zeros.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut done = 0;
        while done < length {
            let count = (length - done).min(PAGE as u64);
            self.write(offset + done, &vec![0; count as usize])?;
            done += count;
        }
        Ok(())
    }
}

/// Memory that grows with what is written, so that a LUN of many TiB costs nothing.
#[derive(Debug)]
pub struct Memory {
    length: u64,
    pages: Mutex<HashMap<u64, Box<[u8]>>>,
}

const PAGE: usize = 1 << 16;

impl Memory {
    /// So many bytes, all zero.
    #[must_use]
    pub fn new(length: u64) -> Self {
        Self { length, pages: Mutex::default() }
    }
}

/// The pages that `length` bytes from `offset` touch: page, where in it, how many.
fn pages(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let count = (PAGE - within).min(length - done);
        done += count;
        (count != 0).then_some((at / PAGE as u64, within, count))
    })
}

impl Backing for Memory {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let stored = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for (page, within, count) in pages(offset, out.len()) {
            let (piece, rest) = out.split_at_mut(count);
            match stored.get(&page) {
                Some(page) => piece.copy_from_slice(&page[within..within + count]),
                None => piece.fill(0),
            }
            out = rest;
        }
        Ok(())
    }

    fn write(&self, offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        let mut stored = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for (page, within, count) in pages(offset, bytes.len()) {
            let (piece, rest) = bytes.split_at(count);
            let page = stored.entry(page).or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            page[within..within + count].copy_from_slice(piece);
            bytes = rest;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let (end, size) = (offset + length, PAGE as u64);
        let mut stored = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        stored.retain(|&page, bytes| {
            let (first, last) = (page * size, (page + 1) * size);
            if first >= end || last <= offset {
                return true;
            }
            let from = offset.saturating_sub(first) as usize;
            bytes[from..(end.min(last) - first) as usize].fill(0);
            bytes.iter().any(|&byte| byte != 0)
        });
        Ok(())
    }
}

/// A file, whose length is the LUN's.
#[derive(Debug)]
pub struct Disk {
    file: File,
    writable: bool,
    length: u64,
}

impl Disk {
    /// Opens `path`, for writing too when the file allows it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, writable) = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => (file, true),
            Err(_) => (OpenOptions::new().read(true).open(path)?, false),
        };
        let length = file.metadata()?.len();
        Ok(Self { file, writable, length })
    }

    /// Whether the system lets it be written.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }
}

impl Backing for Disk {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_sparse_and_keeps_what_crosses_pages() {
        let memory = Memory::new(8 << 40);
        let bytes: Vec<u8> = (0..PAGE + 100).map(|at| (at * 7) as u8).collect();
        let offset = (5 << 40) + PAGE as u64 - 50;
        memory.write(offset, &bytes).unwrap();
        let mut back = vec![0xff; bytes.len() + 2];
        memory.read(offset - 1, &mut back).unwrap();
        assert_eq!(back[0], 0);
        assert_eq!(back[1..=bytes.len()], bytes);
        assert_eq!(back.last(), Some(&0));
        assert_eq!(memory.pages.lock().unwrap().len(), 3);
        assert_eq!(memory.length(), 8 << 40);
    }

    #[test]
    fn what_is_discarded_reads_as_zeros_and_takes_no_memory() {
        let memory = Memory::new(8 << 40);
        let bytes = vec![7; 3 * PAGE];
        memory.write(1 << 40, &bytes).unwrap();
        memory.discard((1 << 40) + 10, 2 * PAGE as u64).unwrap();
        let mut back = vec![0; bytes.len()];
        memory.read(1 << 40, &mut back).unwrap();
        let zeros: Vec<usize> = (0..back.len()).filter(|&at| back[at] == 0).collect();
        assert_eq!((zeros.first(), zeros.len()), (Some(&10), 2 * PAGE));
        assert_eq!(memory.pages.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_file_is_read_written_and_measured() {
        let path = std::env::temp_dir().join(format!("isboot-backing-{}", std::process::id()));
        std::fs::write(&path, [7; 4096]).unwrap();
        let disk = Disk::open(&path).unwrap();
        disk.write(100, b"abc").unwrap();
        disk.flush().unwrap();
        let mut back = [0; 5];
        disk.read(99, &mut back).unwrap();
        let (length, stored) = (disk.length(), std::fs::read(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert_eq!((back, length), (*b"\x07abc\x07", 4096));
        assert_eq!(stored[99..104], back);
        assert!(disk.read(4095, &mut back).is_err());
        assert!(Disk::open(&path).is_err());
    }
}
