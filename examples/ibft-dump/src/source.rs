//! Where tables come from: files, the firmware's ACPI tables, Linux's /sys/firmware/ibft, memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use isboot_ibft::locate::{self, RsdpSource, Search, Unreadable};
use isboot_ibft::{Ibft, MAXIMUM_TABLE_LENGTH};

use crate::sysfs;

/// A table's bytes and where they are from, for the headline.
#[derive(Clone, Debug)]
pub struct Table {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they are from.
    pub origin: String,
}

/// Where Linux lists the firmware's ACPI tables.
pub const ACPI_TABLES: &str = "/sys/firmware/acpi/tables";

/// Where Linux shows the iBFT that `iscsi_ibft` found.
pub const SYSFS: &str = "/sys/firmware/ibft";

/// Reads a table from a file.
///
/// # Errors
/// A sentence that names the file.
pub fn file(path: &Path) -> Result<Table, String> {
    let mut bytes = Vec::new();
    let limit = MAXIMUM_TABLE_LENGTH as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Table { bytes, origin: path.display().to_string() })
}

/// Reads the firmware's table from Linux's list of ACPI tables.
///
/// # Errors
/// A sentence that says what was looked for.
pub fn acpi(tables: &Path) -> Result<Table, String> {
    let found =
        ["iBFT", "IBFT", "BIFT"].map(|name| tables.join(name)).into_iter().find(|it| it.exists());
    match found {
        Some(path) => file(&path),
        None => Err(format!(
            "the firmware has no iBFT among its ACPI tables ({}/iBFT, IBFT or BIFT)",
            tables.display()
        )),
    }
}

/// Makes a table from the files of Linux's /sys/firmware/ibft.
///
/// # Errors
/// A sentence that says what is missing.
pub fn sysfs(directory: &Path) -> Result<Table, String> {
    let mut attributes = BTreeMap::new();
    let describe = |error: io::Error| {
        format!("cannot read {}: {error} (is the module iscsi_ibft loaded?)", directory.display())
    };
    for entry in fs::read_dir(directory).map_err(describe)? {
        let entry = entry.map_err(describe)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        for file in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            if file.file_type().is_ok_and(|kind| kind.is_file()) {
                let path = format!("{name}/{}", file.file_name().to_string_lossy());
                let value = fs::read(file.path())
                    .map_err(|error| format!("cannot read {}: {error}", file.path().display()))?;
                let value = String::from_utf8_lossy(&value);
                attributes.insert(path, value.strip_suffix('\n').unwrap_or(&value).to_owned());
            }
        }
    }
    let bytes = sysfs::table(&attributes)?;
    Ok(Table { bytes, origin: format!("put together from {}", directory.display()) })
}

/// Finds the table of the machine this runs on.
///
/// # Errors
/// A sentence that says where it was looked for.
pub fn host() -> Result<Table, String> {
    acpi(Path::new(ACPI_TABLES)).or_else(|acpi_error| {
        sysfs(Path::new(SYSFS)).map_err(|sysfs_error| {
            format!(
                "found no iBFT on this machine: {acpi_error}; {sysfs_error}. Name a file to \
                 explain, or search the memory: ibft-dump --memory /dev/mem"
            )
        })
    })
}

/// Searches physical memory, or a dump of it, as a hosting kernel does: ACPI, then low memory.
///
/// # Errors
/// A sentence that says what was searched and what was refused.
pub fn memory(path: &Path, instance: usize) -> Result<Table, String> {
    let mut file =
        File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut read = |address: u64, into: &mut [u8]| {
        file.seek(SeekFrom::Start(address)).map_err(|_| Unreadable)?;
        file.read_exact(into).map_err(|_| Unreadable)
    };
    let search = Search { rsdp: RsdpSource::BiosScan, low_memory: true, instance };
    let mut buffer = vec![0; MAXIMUM_TABLE_LENGTH];
    let found = locate::find(&mut read, &search, &mut buffer, |_| {})
        .map_err(|not_found| format!("{}: {not_found}", path.display()))?;
    let origin = format!("{} at {:#x}, via {}", path.display(), found.address, found.via);
    Ok(Table { bytes: found.table.as_bytes().to_vec(), origin })
}

impl Table {
    /// Checks the table.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, and of what.
    pub fn ibft(&self) -> Result<Ibft<'_>, String> {
        Ibft::new(&self.bytes).map_err(|error| format!("{}: {error}", self.origin))
    }
}
