//! Programs of Debian packages, with the libraries that they are linked to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::failed;
use super::package::{self, output};
use crate::process::RigError;
use crate::scratch::Scratch;

/// Where the guest's loader looks for libraries, and this machine's too.
const LIBRARIES: &str = "lib/x86_64-linux-gnu";
/// The loader, as programs name it.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";

/// A program that a guest gets.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The package that holds it.
    pub(super) package: String,
    /// Where it is in there, and in the guest.
    pub(super) path: String,
    /// How names of libraries begin that it is linked to and that are never called.
    pub(super) never_called: Vec<String>,
}

impl Program {
    /// Its files by their paths in the guest: itself, the loader, and every library.
    pub(super) fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, RigError> {
        let root = package::unpacked(&self.package, || Ok(self.package.clone()))?;
        let program = root.join(&self.path);
        let mut files = BTreeMap::new();
        files.insert(self.path.clone(), read(&program)?);
        files.insert(LOADER.to_owned(), read(&Path::new("/").join(LOADER))?);
        let (mut found, mut stubs) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        let mut wanted = needed(&program)?;
        while let Some(library) = wanted.pop() {
            if !seen.insert(library.clone()) || library.starts_with("ld-linux") {
                continue;
            }
            if self.never_called.iter().any(|name| library.starts_with(name.as_str())) {
                stubs.push(library);
                continue;
            }
            let path = self.find(&library, &root)?;
            wanted.extend(needed(&path)?);
            files.insert(format!("{LIBRARIES}/{library}"), read(&path)?);
            found.push(path);
        }
        if !stubs.is_empty() {
            let stub = stub(&undefined(&program, &found)?)?;
            files.extend(stubs.iter().map(|name| (format!("{LIBRARIES}/{name}"), stub.clone())));
        }
        Ok(files)
    }

    /// This machine's library, else that of a package which the program's package depends on.
    fn find(&self, library: &str, root: &Path) -> Result<PathBuf, RigError> {
        let inside = |root: &Path| {
            [LIBRARIES, "usr/lib/x86_64-linux-gnu"]
                .iter()
                .map(|folder| root.join(folder).join(library))
                .find(|path| path.exists())
        };
        if let Some(path) = inside(Path::new("/")).or_else(|| inside(root)) {
            return Ok(path);
        }
        let stem = library.split('.').next().unwrap_or(library);
        for package in package::dependencies(&self.package)? {
            if package.starts_with(stem) {
                let root = package::unpacked(&package, || Ok(package.clone()))?;
                if let Some(path) = inside(&root) {
                    return Ok(path);
                }
            }
        }
        Err(RigError::Missing { program: library.to_owned(), package: self.package.clone() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RigError> {
    fs::read(path).map_err(failed("reading", path))
}

/// The libraries that a file names.
fn needed(file: &Path) -> Result<Vec<String>, RigError> {
    let table = output(Command::new("readelf").args(["-d", "-W"]).arg(file), "binutils")?;
    Ok(needed_in(&table))
}

/// ` 0x0000000000000001 (NEEDED)  Shared library: [libz.so.1]`
fn needed_in(table: &str) -> Vec<String> {
    let lines = table.lines().filter(|line| line.contains("(NEEDED)"));
    let names =
        lines.filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()));
    names.collect()
}

/// What a program wants that none of these libraries has.
fn undefined(program: &Path, libraries: &[PathBuf]) -> Result<Symbols, RigError> {
    let symbols = |which: &str, file: &Path| {
        output(Command::new("nm").args(["-D", which]).arg(file), "binutils")
    };
    let mut wanted = symbols_in(&symbols("--undefined-only", program)?);
    for library in libraries {
        for name in symbols_in(&symbols("--defined-only", library)?).keys() {
            wanted.remove(name);
        }
    }
    Ok(wanted)
}

/// Names, and the version of each where it has one.
type Symbols = BTreeMap<String, Option<String>>;

/// `                 U malloc@GLIBC_2.2.5`, `0000000000001580 T deflate`; weak ones need not be there.
fn symbols_in(table: &str) -> Symbols {
    let lines = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace().rev();
        let (symbol, kind) = (words.next()?, words.next()?);
        let (name, version) = match symbol.split_once('@') {
            Some((name, version)) => (name, Some(version.trim_start_matches('@').to_owned())),
            None => (symbol, None),
        };
        (kind != "w").then(|| (name.to_owned(), version))
    });
    lines.collect()
}

/// A library that has these functions; whoever calls one is ended.
fn stub(functions: &Symbols) -> Result<Vec<u8>, RigError> {
    let mut source = String::from(".text\n");
    // The loader insists on the versions that the program was linked to.
    let mut versions = BTreeMap::<&str, String>::new();
    for (name, version) in functions {
        source += &format!(".globl {name}\n.type {name}, @function\n{name}:\n");
        if let Some(version) = version {
            *versions.entry(version).or_default() += &format!("{name}; ");
        }
    }
    source += "ud2\n.section .note.GNU-stack,\"\",@progbits\n";
    let versions: String = versions
        .iter()
        .map(|(version, names)| format!("{version} {{ global: {names}}};\n"))
        .collect();
    let cache = package::cache();
    let scratch = Scratch::create(&cache).map_err(failed("making a directory in", &cache))?;
    let [input, script, library] =
        ["stub.s", "versions", "stub.so"].map(|name| scratch.path().join(name));
    fs::write(&input, source).map_err(failed("writing", &input))?;
    fs::write(&script, &versions).map_err(failed("writing", &script))?;
    let mut link = Command::new("cc");
    link.args(["-shared", "-nostdlib", "-o"]).arg(&library).arg(&input);
    if !versions.is_empty() {
        link.arg(format!("-Wl,--version-script={}", script.display()));
    }
    output(&mut link, "gcc")?;
    read(&library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_tools_tables() {
        let table = "Dynamic section at offset 0x1:\n \
            0x0000000000000001 (NEEDED)             Shared library: [libz.so.1]\n \
            0x000000000000000e (SONAME)             Library soname: [libx.so]\n \
            0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n";
        assert_eq!(needed_in(table), ["libz.so.1", "libc.so.6"]);
        let table = "                 U malloc@GLIBC_2.2.5\n                 w __gmon_start__\n\
            0000000000001580 T deflate\n0000 T io_submit@@LIBAIO_0.1\n\n";
        let symbols = symbols_in(table);
        let versions =
            [("deflate", None), ("io_submit", Some("LIBAIO_0.1")), ("malloc", Some("GLIBC_2.2.5"))];
        assert_eq!(symbols, named(&versions));
    }

    fn named(symbols: &[(&str, Option<&str>)]) -> Symbols {
        symbols.iter().map(|(name, version)| ((*name).into(), version.map(Into::into))).collect()
    }

    #[test]
    fn a_stub_has_the_functions_that_nobody_else_has() {
        let functions = named(&[
            ("glfs_init", Some("GFAPI_3.4.0")),
            ("glfs_pread", Some("GFAPI_6.0")),
            ("rbd_open", None),
        ]);
        let scratch = Scratch::beside_the_test();
        let library = scratch.path().join("stub.so");
        fs::write(&library, stub(&functions).unwrap()).unwrap();
        let table = output(Command::new("nm").args(["-D", "--defined-only"]).arg(&library), "");
        let mut symbols = symbols_in(&table.unwrap());
        // The versions are symbols themselves.
        symbols.retain(|name, _| !name.starts_with("GFAPI"));
        assert_eq!(symbols, functions);
        assert!(needed(&library).unwrap().is_empty());
    }
}
