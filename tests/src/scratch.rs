//! Files of one test: made with known content, gone when it ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::pair::Random;

/// A directory of one test's own.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new directory in `parent`, which is `env!("CARGO_TARGET_TMPDIR")` to an integration test.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(parent: impl AsRef<Path>) -> Self {
        let parent = parent.as_ref();
        match Self::create(parent) {
            Ok(scratch) => scratch,
            Err(error) => panic!("making a directory in {}: {error}", parent.display()),
        }
    }

    /// A new directory in `parent`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(parent: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("scratch-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    /// A new directory beside the unit test's own binary, in the build's directory.
    #[cfg(test)]
    pub(crate) fn beside_the_test() -> Self {
        Self::new(std::env::current_exe().unwrap().parent().unwrap())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file with [`noise`] in it.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn image(&self, seed: u64, length: usize) -> PathBuf {
        let image = self.0.join(format!("{seed}.img"));
        if let Err(error) = fs::write(&image, noise(seed, length)) {
            panic!("writing {}: {error}", image.display());
        }
        image
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Content that differs for each seed, and is the same in every run.
#[must_use]
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    Random(seed << 32).bytes(length)
}
