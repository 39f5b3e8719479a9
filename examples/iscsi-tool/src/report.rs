//! What is printed: a table for people, JSON for machines.

use std::time::Duration;

use indicatif::HumanBytes;
use isboot::disk::Disk;
use serde_json::{Value, json};

use crate::initiator::{Access, Initiator};

/// The disks as a table.
pub(crate) fn table(disks: &[Disk]) -> String {
    let head = ["LUN", "VENDOR", "PRODUCT", "REV", "SERIAL", "BLOCK", "BLOCKS", "SIZE", "WRITABLE"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(disks.iter().map(|disk| {
        [
            disk.lun.to_string(),
            disk.vendor.to_string(),
            disk.product.to_string(),
            disk.revision.to_string(),
            if disk.serial.is_empty() { "-".to_owned() } else { disk.serial.to_string() },
            disk.block_size.to_string(),
            disk.blocks.to_string(),
            HumanBytes(disk.bytes()).to_string(),
            yes_no(!disk.read_only).to_owned(),
        ]
    }));
    let widths: [usize; 9] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            // Numbers to the right.
            if (5..=7).contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The disks as JSON.
pub(crate) fn disks_json(initiator: &Initiator, access: &Access, disks: &[Disk]) -> Value {
    json!({
        "target": access.url.target.as_str(),
        "portal": initiator.portal.to_string(),
        "disks": disks.iter().map(disk_json).collect::<Vec<_>>(),
    })
}

fn disk_json(disk: &Disk) -> Value {
    json!({
        "lun": disk.lun.to_string(),
        "vendor": disk.vendor.as_str(),
        "product": disk.product.as_str(),
        "revision": disk.revision.as_str(),
        "serial": disk.serial.as_str(),
        "block_size": disk.block_size,
        "physical_block_size": u64::from(disk.block_size) << disk.physical_block_exponent.min(31),
        "blocks": disk.blocks,
        "bytes": disk.bytes(),
        "read_only": disk.read_only,
    })
}

/// What the login agreed on, for people.
pub(crate) fn terms(initiator: &Initiator, access: &Access) -> String {
    let terms = &initiator.terms;
    let timing = &initiator.timing;
    let bytes = |count: u32| format!("{count} bytes ({})", HumanBytes(count.into()));
    let group = terms.target_portal_group_tag.map_or("not named".to_owned(), |tag| tag.to_string());
    // The target's own text: what does not print, such as a change of direction, is escaped.
    let alias = terms
        .target_alias
        .as_ref()
        .map_or("none".to_owned(), |text| format!("\"{}\"", text.escape_debug()));
    let rows = [
        ("Target", access.url.target.to_string()),
        ("Target alias", alias),
        ("Portal", initiator.portal.to_string()),
        ("Portal group", group),
        ("Initiator", access.initiator_name.to_string()),
        ("Session handle", format!("{:#06x}", terms.tsih)),
        ("Header digest", terms.header_digest.to_string()),
        ("Data digest", terms.data_digest.to_string()),
        ("Segments, received", format!("up to {}", bytes(terms.max_recv_data_segment_length))),
        ("Segments, sent", format!("up to {}", bytes(terms.max_send_data_segment_length))),
        ("Burst", bytes(terms.max_burst_length)),
        ("First burst", bytes(terms.first_burst_length)),
        ("Immediate data", yes_no(terms.immediate_data).to_owned()),
        ("Initial R2T", yes_no(terms.initial_r2t).to_owned()),
        ("Outstanding R2Ts", terms.max_outstanding_r2t.to_string()),
        ("Wait, retain", format!("{} s, {} s", terms.default_time2wait, terms.default_time2retain)),
        ("Error recovery", format!("level {}", terms.error_recovery_level)),
        ("Disks", initiator.disks().len().to_string()),
        ("Connected after", milliseconds(timing.connect)),
        ("Login took", milliseconds(timing.login)),
        ("Finding disks took", milliseconds(timing.disks)),
    ];
    rows.map(|(name, value)| format!("{name:20}{value}\n")).concat()
}

/// What the login agreed on, for machines: the keys of RFC 7143 §13 in lower case.
pub(crate) fn terms_json(initiator: &Initiator, access: &Access) -> Value {
    let terms = &initiator.terms;
    let timing = &initiator.timing;
    json!({
        "target": access.url.target.as_str(),
        "target_alias": terms.target_alias.as_deref(),
        "portal": initiator.portal.to_string(),
        "target_portal_group_tag": terms.target_portal_group_tag,
        "initiator": access.initiator_name.as_str(),
        "tsih": terms.tsih,
        "header_digest": terms.header_digest.name(),
        "data_digest": terms.data_digest.name(),
        "max_recv_data_segment_length": terms.max_recv_data_segment_length,
        "max_send_data_segment_length": terms.max_send_data_segment_length,
        "max_burst_length": terms.max_burst_length,
        "first_burst_length": terms.first_burst_length,
        "immediate_data": terms.immediate_data,
        "initial_r2t": terms.initial_r2t,
        "max_outstanding_r2t": terms.max_outstanding_r2t,
        "default_time2wait": terms.default_time2wait,
        "default_time2retain": terms.default_time2retain,
        "error_recovery_level": terms.error_recovery_level,
        "disks": initiator.disks().len(),
        "connect_seconds": timing.connect.as_secs_f64(),
        "login_seconds": timing.login.as_secs_f64(),
        "disks_seconds": timing.disks.as_secs_f64(),
    })
}

/// `9.00 MiB in 0.03 s (314.6 MB/s)`.
pub(crate) fn rate(bytes: u64, took: Duration) -> String {
    format!(
        "{} in {:.2} s ({:.1} MB/s)",
        HumanBytes(bytes),
        took.as_secs_f64(),
        megabytes_per_second(bytes, took)
    )
}

/// Millions of bytes per second.
pub(crate) fn megabytes_per_second(bytes: u64, took: Duration) -> f64 {
    // A transfer is never quicker than the clock's tick.
    bytes as f64 / 1e6 / took.as_secs_f64().max(1e-6)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
