//! Debian's kernel and its modules.

use std::fs;
use std::path::{Path, PathBuf};

use super::failed;
use super::package::{self, only_entry};
use crate::process::RigError;

/// Debian's package that depends on the newest kernel's.
const META_PACKAGE: &str = "linux-image-amd64";

/// Debian's kernel, unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// Fetches and unpacks the package, unless that was done before.
    pub(super) fn fetch() -> Result<Self, RigError> {
        let root = package::unpacked("kernel", newest)?;
        let image = only_entry(&root.join("boot"), "vmlinuz-")?;
        let modules = only_entry(&root.join("lib/modules"), "")?;
        Ok(Kernel { image, modules })
    }

    /// The modules' files in the order to load them, dependencies first.
    pub(super) fn with_dependencies(
        &self,
        names: &[String],
    ) -> Result<Vec<(String, PathBuf)>, RigError> {
        let mut files = Vec::new();
        list(&self.modules.join("kernel"), &mut files)?;
        let builtin = fs::read_to_string(self.modules.join("modules.builtin")).unwrap_or_default();
        let builtin: Vec<_> = builtin.lines().map(|line| module_name(Path::new(line))).collect();
        let mut order = Vec::new();
        for name in names {
            self.add(name, &files, &builtin, &mut order)?;
        }
        Ok(order)
    }

    fn add(
        &self,
        name: &str,
        files: &[PathBuf],
        builtin: &[String],
        order: &mut Vec<(String, PathBuf)>,
    ) -> Result<(), RigError> {
        let name = name.replace('-', "_");
        if builtin.contains(&name) || order.iter().any(|(earlier, _)| *earlier == name) {
            return Ok(());
        }
        let path = files.iter().find(|path| module_name(path) == name).ok_or_else(|| {
            RigError::Failed(format!("{} has no module {name}", self.modules.display()))
        })?;
        let bytes = fs::read(path).map_err(failed("reading", path))?;
        for dependency in dependencies(&bytes) {
            self.add(&dependency, files, builtin, order)?;
        }
        order.push((name, path.clone()));
        Ok(())
    }
}

/// The package of the newest kernel.
fn newest() -> Result<String, RigError> {
    let depends = package::dependencies(META_PACKAGE)?;
    depends.into_iter().find(|name| name.starts_with("linux-image-")).ok_or_else(|| {
        RigError::Failed(format!(
            "apt knows no {META_PACKAGE}, whose kernel this guest boots: run apt-get update"
        ))
    })
}

/// The names after `depends=` in a module's own description.
fn dependencies(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(start) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = module[start + key.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn module_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), RigError> {
    for entry in fs::read_dir(directory).map_err(failed("listing", directory))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_a_module() {
        let module = b"\x7fELF..\0license=GPL\0depends=iscsi_boot_sysfs,scsi-mod\0intree=Y\0";
        assert_eq!(dependencies(module), ["iscsi_boot_sysfs", "scsi-mod"]);
        assert!(dependencies(b"\0depends=\0retpoline=Y\0").is_empty());
        assert!(dependencies(b"no description").is_empty());
    }
}
