//! What the README says of the code is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use isboot::boot::Parameters;
use isboot_transport::intel::family::Family;
use isboot_transport::intel::ids::MODELS;

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

/// The parts that `cargo xtask boot --nic` boots, and what QEMU calls them.
const BOOTED: [(u16, &str); 5] = [
    (0x100c, "e1000-82544gc"),
    (0x100e, "e1000"),
    (0x100f, "e1000-82545em"),
    (0x10c9, "igb"),
    (0x10d3, "e1000e"),
];

#[test]
fn every_part_is_listed_with_how_it_was_run() {
    let expected: Vec<String> = Family::ALL
        .iter()
        .map(|family| {
            let models = || MODELS.iter().filter(|model| model.family == *family);
            let mut chips: Vec<&str> = Vec::new();
            for model in models() {
                // I219-LM (13) is an I219-LM of another chipset.
                let chip = model.name.split(" (").next().unwrap();
                if !chips.contains(&chip) {
                    chips.push(chip);
                }
            }
            let ids: Vec<_> = models().map(|model| format!("{:04x}", model.device_id)).collect();
            let booted: String = models()
                .filter_map(|model| BOOTED.iter().find(|(id, _)| *id == model.device_id))
                .map(|(_, name)| format!("QEMU (`{name}`), "))
                .collect();
            format!("| {} | {} | {booted}fake |", chips.join(", "), ids.join(" "))
        })
        .collect();
    let readme = readme();
    let listed: Vec<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("| chips |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(listed, expected);
    assert!(readme.contains(&format!("{} device ids", MODELS.len())));
}

#[test]
fn every_quirk_is_explained() {
    let source = fs::read_to_string(root().join("transport/src/intel/family/mod.rs")).unwrap();
    let page = fs::read_to_string(root().join("docs/nic.md")).unwrap();
    let fields = source
        .lines()
        .skip_while(|line| !line.starts_with("pub struct Quirks"))
        .take_while(|line| *line != "}")
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let mut count = 0;
    for field in fields.filter(|field| !field.starts_with("struct")) {
        assert!(page.contains(&format!("`{field}`")), "docs/nic.md does not explain `{field}`");
        count += 1;
    }
    assert!(count > 40, "{count} fields");
}
