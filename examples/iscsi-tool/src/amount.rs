//! Numbers of bytes as people write them: `4096`, `64K`, `1MiB`.

/// Reads a number of bytes; `K`, `M`, `G` and `T`, also as `KiB` and so on, are powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.strip_suffix("iB").unwrap_or(unit) {
        "" if unit.is_empty() => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("a number of bytes is written 4096, 64K, 1M, 2G or 1T".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "a number of bytes starts with digits and stays below 2^64".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, count) in [
            ("0", 0),
            ("4096", 4096),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("1M", 1 << 20),
            ("2GiB", 2 << 30),
            ("16777215T", 16_777_215 << 40),
        ] {
            assert_eq!(bytes(text), Ok(count), "{text}");
        }
        for bad in [
            "",
            "K",
            "iB",
            "1iB",
            "1KB",
            "1 K",
            "-1",
            "+1",
            "1.5G",
            "16777216T",
            "99999999999999999999",
        ] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
