//! The one target that everything is measured against: istgt, on files that are in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use isboot_tests::istgt::{Istgt, Lun, Options};
use isboot_tests::scratch::Scratch;
use qemu_boot::disk_image;

/// The seed of what LUN 0 holds: its 64-bit little-endian word `k` is
/// [`disk_image::word`]`(CONTENT, k)`.
pub const CONTENT: u64 = 0x6973_626f_6f74;
/// Bytes of a block of both LUNs.
pub const BLOCK_LENGTH: u32 = 512;
/// The LUN that is read; nobody writes to it.
pub const READ_LUN: u8 = 0;
/// The LUN that is written to; what it holds counts for nothing.
pub const WRITE_LUN: u8 = 1;

const READ_IMAGE: &str = "read.img";
const WRITE_IMAGE: &str = "write.img";
const OTHERS_IMAGE: &str = "others.img";
const OTHERS_UNIT: &str = "others";

/// A target to measure against, that serves the LUNs of a [`Rig`] under their numbers.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it listens.
    pub portal: SocketAddr,
    /// Its iSCSI name.
    pub target_name: String,
    /// Bytes of each LUN.
    pub bytes: u64,
    /// The file behind the LUN that is written to.
    pub written: PathBuf,
    /// The iSCSI name of a unit of one more LUN, 0, that only others write to: istgt serves nobody
    /// on a LUN while one that is held owes it write data.
    pub others_target_name: String,
}

/// A running istgt with its LUNs; dropping it ends istgt and removes the files.
#[derive(Debug)]
pub struct Rig {
    // First: istgt ends before its files go.
    istgt: Istgt,
    bytes: u64,
    files: Scratch,
}

impl Rig {
    /// Makes LUNs of `bytes` each in a file system that is memory, where there is one (else in
    /// `folder`), and starts istgt on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// What could not be made, and what istgt said.
    pub fn start(folder: &Path, bytes: u64) -> Result<Self, String> {
        Self::start_at(folder, bytes, Ipv4Addr::LOCALHOST)
    }

    /// The same on an address of the network that this thread is in.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_at(folder: &Path, bytes: u64, address: Ipv4Addr) -> Result<Self, String> {
        let in_memory = Path::new("/dev/shm");
        let files = [in_memory, folder]
            .into_iter()
            .find(|place| has_room(place, 4 * bytes))
            .ok_or_else(|| format!("no room for three images of {bytes} bytes in {folder:?}"))
            .and_then(|place| {
                Scratch::create(place).map_err(|error| format!("making a folder: {error}"))
            })?;
        let images = [READ_IMAGE, WRITE_IMAGE, OTHERS_IMAGE];
        let [read, write, others] = images.map(|name| files.path().join(name));
        let made = disk_image::create(&read, bytes, CONTENT)
            // Written once: the first write to a page is not to cost more than the second.
            .and_then(|()| copy_in_turns(&read, [&write, &others]));
        made.map_err(|error| format!("making the images in {:?}: {error}", files.path()))?;
        let lun = |image: PathBuf, serial: &str| Lun { image, serial: serial.to_owned() };
        let options = Options {
            block_length: BLOCK_LENGTH,
            address,
            // None in a run: who counts bytes would count it.
            nop_in_interval: 3600,
            other_unit: Some((OTHERS_UNIT.to_owned(), lun(others, "BENCH-OTHERS"))),
            // Otherwise one session is up to a half faster than the next by luck, whoever has it.
            keeps_memory: true,
            ..Options::default()
        };
        let luns = [lun(read, "BENCH-READ"), lun(write, "BENCH-WRITE")];
        let istgt = Istgt::start(&files.path().join("istgt"), &luns, &options)
            .map_err(|error| error.to_string())?;
        Ok(Self { istgt, bytes, files })
    }

    /// Its istgt, for who logs in there.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            portal: self.portal(),
            target_name: self.target_name().to_owned(),
            bytes: self.bytes,
            written: self.image(WRITE_LUN),
            others_target_name: Istgt::name_of(OTHERS_UNIT),
        }
    }

    /// Where istgt listens.
    #[must_use]
    pub fn portal(&self) -> SocketAddr {
        self.istgt.portal()
    }

    /// The process id of istgt.
    #[must_use]
    pub fn istgt_id(&self) -> u32 {
        self.istgt.id()
    }

    /// The target's iSCSI name.
    #[must_use]
    pub fn target_name(&self) -> &str {
        self.istgt.target_name()
    }

    /// The file behind a LUN, for who looks at what was written.
    #[must_use]
    pub fn image(&self, lun: u8) -> PathBuf {
        self.files.path().join(if lun == READ_LUN { READ_IMAGE } else { WRITE_IMAGE })
    }

    /// Bytes of each LUN.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Asked to end, it would wait for its sessions for seconds; what it wrote goes anyway.
        self.istgt.kill();
    }
}

/// Copies a file twice, a piece to the one and a piece to the other: which pages of memory a file got
/// makes writes up to a tenth faster, and one that is made behind another gets better ones.
fn copy_in_turns(from: &Path, to: [&Path; 2]) -> io::Result<()> {
    let [mut one, mut other] = [File::create(to[0])?, File::create(to[1])?];
    let mut from = File::open(from)?;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        one.write_all(&piece[..count])?;
        other.write_all(&piece[..count])?;
    }
}

/// Whether a file system has room for this many bytes more.
fn has_room(place: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(place).is_ok_and(|seen| seen.f_bavail.saturating_mul(seen.f_frsize) > bytes)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn it_listens_with_both_luns_of_known_content_and_leaves_nothing() {
        let folder = std::env::temp_dir();
        let rig = Rig::start(&folder, 1 << 20).unwrap();
        assert!(TcpStream::connect(rig.portal()).is_ok());
        assert_eq!(rig.target_name(), "iqn.2007-09.jp.ne.peach.istgt:disk1");
        let files = rig.files.path().to_owned();
        for lun in [READ_LUN, WRITE_LUN] {
            let image = rig.image(lun);
            let seen = disk_image::verify(&image, rig.bytes(), CONTENT, None).unwrap();
            assert_eq!(seen, Ok(()));
        }
        drop(rig);
        assert!(!files.exists());
    }
}
