//! The initramfs: a cpio archive.

use std::collections::BTreeSet;

/// A cpio archive in the "newc" format, which the kernel unpacks as its first file system.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory, and those that it is in, unless they are there.
    pub(super) fn add_directory(&mut self, path: &str) {
        if self.directories.insert(path.to_owned()) {
            self.add(path, 0o040_755, &[]);
        }
    }

    /// Adds an entry, and the directories that it is in. The kernel makes nothing by itself.
    pub(super) fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.add_directory(parent);
        }
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("a file of less than 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("a short name");
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
        // namesize, check.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_cpio_reads() {
        let mut archive = Archive::default();
        archive.add("usr/bin/hello", 0o100_755, b"hello");
        archive.add_directory("usr");
        let bytes = archive.finish();
        assert!(bytes.starts_with(b"070701"));
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap().replace('\0', ".");
        assert!(text.contains("000000050000"), "the size of a file of five bytes");
        assert!(text.contains("usr/bin/hello.hello...070701"), "{text:?}");
        let names: Vec<_> = text.split("070701").filter_map(|entry| entry.get(104..)).collect();
        let names: Vec<_> = names.iter().filter_map(|name| name.split('.').next()).collect();
        assert_eq!(names, ["usr", "usr/bin", "usr/bin/hello", "TRAILER!!!"]);
    }
}
