//! Figures as people read them.

use crate::measurement::Quantity;
use crate::targets::{Row, Threshold, Unit};
use crate::workload::Digests;

/// A session's digests in words.
pub fn digests(digests: Digests) -> &'static str {
    match digests {
        Digests::None => "no digests",
        Digests::Header => "header digest",
        Digests::Both => "both digests",
    }
}

/// With three digits that count: `263`, `2.41`, `18.6`.
pub fn digits(figure: f64) -> String {
    match figure.abs() {
        large if large >= 99.95 => format!("{figure:.0}"),
        tens if tens >= 9.995 => format!("{figure:.1}"),
        ones if ones >= 0.9995 => format!("{figure:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{figure:.3}"),
    }
}

/// A figure with its unit.
pub fn with_unit(figure: f64, quantity: Quantity) -> String {
    let (divisor, unit) = scale(figure, quantity);
    format!("{} {unit}", digits(figure / divisor))
}

/// What a figure is divided by, and the unit that it then has.
fn scale(figure: f64, quantity: Quantity) -> (f64, &'static str) {
    match quantity {
        Quantity::Throughput if figure.abs() >= 5e9 => (1e9, "GB/s"),
        Quantity::Throughput => (1e6, "MB/s"),
        Quantity::Rate if figure.abs() >= 10e3 => (1e3, "k/s"),
        Quantity::Rate => (1.0, "/s"),
        Quantity::CpuPerGigabyte => (1.0, "s/GB"),
        Quantity::NanosecondsPerCommand => (1.0, "ns"),
        Quantity::InstructionsPerCommand => (1.0, "instructions"),
        Quantity::Seconds if figure.abs() < 1.0 => (1e-3, "ms"),
        Quantity::Seconds => (1.0, "s"),
        Quantity::Bytes if figure.abs() >= 10e3 => (1e3, "kB"),
        Quantity::Bytes => (1.0, "B"),
    }
}

/// What a row reached: `2.39 ×`, `18.6 GB/s`.
pub fn reached(row: &Row) -> Option<String> {
    Some(of(row, row.reached?))
}

/// `2.31 – 2.44`, where the two differ.
pub fn spread(row: &Row) -> Option<String> {
    let (least, most) = row.spread?;
    let divisor = match (row.unit, row.quantity) {
        (Unit::Own, Some(quantity)) => scale(row.reached?, quantity).0,
        _ => 1.0,
    };
    let [least, most] = [least, most].map(|end| digits(end / divisor));
    (least != most).then(|| format!("{least} – {most}"))
}

/// What a row asks for: `≥ 2.2 ×`, `≤ 100 ms`.
pub fn threshold(row: &Row) -> String {
    match row.threshold {
        Threshold::AtLeast(least) => format!("≥ {}", of(row, least)),
        Threshold::AtMost(most) => format!("≤ {}", of(row, most)),
        Threshold::Within(least, most) => format!("{} … {}", digits(least), of(row, most)),
    }
}

/// `412 MB/s, which is 2.31 ×, ours has 97 %`, where a limit was measured: what the row would reach
/// at it, where that is another figure.
pub fn limit(row: &Row) -> Option<String> {
    let (limit, share) = (row.limit?, row.share_of_limit?);
    let times = match (row.unit, row.reached_at_limit) {
        (Unit::Times, Some(reached)) => format!(", which is {} ×", digits(reached)),
        _ => String::new(),
    };
    let limit = with_unit(limit, row.quantity?);
    Some(format!("{limit}{times}, ours has {:.0} %", share * 100.0))
}

fn of(row: &Row, figure: f64) -> String {
    match (row.unit, row.quantity) {
        (Unit::Own, Some(quantity)) => with_unit(figure, quantity),
        _ => format!("{} ×", digits(figure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let seen = [0.0, 0.0123, 0.95, 2.394, 18.62, 99.96, 263.4, 1221.0].map(digits);
        assert_eq!(seen, ["0", "0.012", "0.950", "2.39", "18.6", "100", "263", "1221"]);
    }

    #[test]
    fn units_fit_the_figure() {
        assert_eq!(with_unit(263.4e6, Quantity::Throughput), "263 MB/s");
        assert_eq!(with_unit(18.62e9, Quantity::Throughput), "18.6 GB/s");
        assert_eq!(with_unit(81_234.0, Quantity::Rate), "81.2 k/s");
        assert_eq!(with_unit(0.043, Quantity::Seconds), "43.0 ms");
        assert_eq!(with_unit(412.0, Quantity::NanosecondsPerCommand), "412 ns");
    }
}
