//! What the README says of the code is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use isboot::boot::Parameters;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn every_parameter_is_listed_with_its_default_range_and_meaning() {
    let defaults = Parameters::default();
    let expected: Vec<String> = Parameters::list()
        .iter()
        .map(|info| {
            let unit = if info.unit.is_empty() { String::new() } else { format!(" {}", info.unit) };
            let range = info.range.replace('|', "\\|");
            let default = defaults.value(info);
            format!("| `{}` | `{default}` | {range}{unit} | {} |", info.name, info.meaning)
        })
        .collect();
    let readme = readme();
    let listed: Vec<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("| parameter |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn unsafe_code_stands_where_the_map_says_and_nowhere_else() {
    let mut found = BTreeSet::new();
    for package in ["ibft", "initiator", "transport"] {
        collect_unsafe(&root().join(package).join("src"), &mut found);
    }
    let readme = readme();
    let listed: BTreeSet<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `transport/src/"))
        .filter_map(|line| line.split('`').next())
        .map(|path| format!("transport/src/{path}"))
        .collect();
    assert_eq!(found, listed);
}

/// Files with an `unsafe` that is code: neither a comment nor the lint that forbids it.
fn collect_unsafe(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_unsafe(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let is_code = |line: &str| {
                let code = line.split("//").next().unwrap_or_default();
                code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
            };
            if text.lines().any(is_code) {
                let relative = path.strip_prefix(root()).unwrap();
                found.insert(relative.to_string_lossy().into_owned());
            }
        }
    }
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let readme = readme();
    let mut checked = 0;
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !link.starts_with("http") {
            assert!(root().join(link).exists(), "{link}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}
