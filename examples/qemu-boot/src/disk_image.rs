//! Disk images with known content, and the proof of what a run did to them.
//!
//! The content of an image and the pattern that the guest writes are the same sequence under
//! different seeds: the 64-bit little-endian word `k` is `splitmix64(seed + k)`. So nothing has to
//! be stored to know what every byte of an image must be afterwards.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes that are generated, hashed or compared at once.
const CHUNK: usize = 1 << 20;

/// A run of bytes that the guest wrote with its own seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it starts, in bytes; a multiple of 8.
    pub offset: u64,
    /// How many bytes; a multiple of 8.
    pub bytes: u64,
    /// The seed of the pattern, whose word 0 stands at `offset`.
    pub seed: u64,
}

/// The first byte of an image that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where it is.
    pub offset: u64,
    /// What must be there.
    pub expected: u8,
    /// What is there.
    pub found: u8,
    /// Whether the place belongs to the bytes that the guest was to write.
    pub in_pattern: bool,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.in_pattern { "inside" } else { "outside" };
        write!(
            out,
            "byte {} ({place} the bytes written) is {:#04x}, not {:#04x}",
            self.offset, self.found, self.expected
        )
    }
}

/// The word `k` of the sequence under `seed`.
#[must_use]
pub const fn word(seed: u64, k: u64) -> u64 {
    let z = seed.wrapping_add(k).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Creates an image of `bytes` (a multiple of 8) under `seed`.
///
/// # Errors
/// What the file system says.
pub fn create(path: &Path, bytes: u64, seed: u64) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(CHUNK, File::create(path)?);
    for k in 0..bytes / 8 {
        file.write_all(&word(seed, k).to_le_bytes())?;
    }
    file.into_inner()?.sync_data()
}

/// The SHA-256 of a file, in lower-case hexadecimal.
///
/// # Errors
/// What the file system says.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hash.update(&chunk[..count]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Compares an image made by [`create`] with what it must hold after `written`.
///
/// # Errors
/// What the file system says; a file that is shorter or longer is an error of its own.
pub fn verify(
    path: &Path,
    bytes: u64,
    seed: u64,
    written: Option<Written>,
) -> io::Result<Result<(), Mismatch>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length != bytes {
        return Err(io::Error::other(format!("the image is {length} bytes long, not {bytes}")));
    }
    let mut file = BufReader::with_capacity(CHUNK, file);
    let mut found = [0; 8];
    for k in 0..bytes / 8 {
        let offset = k * 8;
        file.read_exact(&mut found)?;
        let pattern = written.filter(|run| (run.offset..run.offset + run.bytes).contains(&offset));
        let expected = match pattern {
            Some(run) => word(run.seed, (offset - run.offset) / 8),
            None => word(seed, k),
        }
        .to_le_bytes();
        if found == expected {
            continue;
        }
        if let Some(at) = (0..8).find(|&at| found[at] != expected[at]) {
            return Ok(Err(Mismatch {
                offset: offset + at as u64,
                expected: expected[at],
                found: found[at],
                in_pattern: pattern.is_some(),
            }));
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Seek, SeekFrom};
    use std::path::PathBuf;

    use super::*;

    const BYTES: u64 = 64 * 1024;

    fn image(name: &str) -> PathBuf {
        let path = std::env::current_exe()
            .unwrap()
            .with_file_name(format!("disk-image-{name}-{}", std::process::id()));
        create(&path, BYTES, 7).unwrap();
        path
    }

    fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(bytes).unwrap();
    }

    #[test]
    fn the_sequence_is_splitmix64() {
        // The published first outputs of splitmix64 from state 0: there the state grows by the
        // golden ratio, so they are words of different seeds here.
        assert_eq!(word(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(word(0x9e37_79b9_7f4a_7c15, 0), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(word(5, 3), word(8, 0));
    }

    #[test]
    fn the_hash_is_sha256_of_the_file() {
        let path = image("hash");
        fs::write(&path, "abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_untouched_image_and_an_exact_pattern_pass() {
        let path = image("exact");
        assert_eq!(verify(&path, BYTES, 7, None).unwrap(), Ok(()));
        let run = Written { offset: 512, bytes: 1024, seed: 99 };
        let pattern: Vec<u8> = (0..128).flat_map(|k| word(99, k).to_le_bytes()).collect();
        overwrite(&path, 512, &pattern);
        assert_eq!(verify(&path, BYTES, 7, Some(run)).unwrap(), Ok(()));
        assert!(verify(&path, BYTES, 7, None).unwrap().is_err());
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn one_wrong_byte_is_found_wherever_it_is() {
        let path = image("wrong");
        let run = Written { offset: 512, bytes: 1024, seed: 99 };
        let pattern: Vec<u8> = (0..128).flat_map(|k| word(99, k).to_le_bytes()).collect();
        for (offset, in_pattern) in
            [(0, false), (511, false), (600, true), (1536, false), (BYTES - 1, false)]
        {
            create(&path, BYTES, 7).unwrap();
            overwrite(&path, 512, &pattern);
            let right = fs::read(&path).unwrap()[offset as usize];
            overwrite(&path, offset, &[right ^ 1]);
            let mismatch = verify(&path, BYTES, 7, Some(run)).unwrap().unwrap_err();
            assert_eq!((mismatch.offset, mismatch.in_pattern), (offset, in_pattern));
            assert_eq!((mismatch.expected, mismatch.found), (right, right ^ 1));
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_truncated_image_is_an_error() {
        let path = image("short");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(BYTES - 8).unwrap();
        assert!(verify(&path, BYTES, 7, None).is_err());
        fs::remove_file(path).unwrap();
    }
}
