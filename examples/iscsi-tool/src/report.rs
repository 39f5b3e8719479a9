//! What is printed: a table for people, JSON for machines.

use std::time::Duration;

use indicatif::HumanBytes;
use isboot::disk::{Disk, Provisioning};
use isboot::login::Name;
use serde_json::{Value, json};

use crate::initiator::Initiator;

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

/// A target and its disks as JSON.
pub(crate) fn target_json(initiator: &Initiator, disks: &[Disk]) -> Value {
    json!({
        "target": initiator.target.as_str(),
        "portal": initiator.portal.to_string(),
        "disks": disks.iter().map(disk_json).collect::<Vec<_>>(),
    })
}

/// Everything about a disk, for machines.
pub(crate) fn disk_json(disk: &Disk) -> Value {
    let Provisioning { thin, reads_zeros, unmap, write_same_unmaps, .. } = disk.provisioning;
    let unmap = unmap.map(|limits| {
        json!({
            "blocks": limits.blocks,
            "granularity": limits.granularity,
            "alignment": limits.alignment,
        })
    });
    json!({
        "lun": disk.lun.to_string(),
        "vendor": disk.vendor.as_str(),
        "product": disk.product.as_str(),
        "revision": disk.revision.as_str(),
        "serial": disk.serial.as_str(),
        "identity": disk.identity.as_ref().map(ToString::to_string),
        "block_size": disk.block_size,
        "physical_block_size": physical_block_size(disk),
        "lowest_aligned_block": disk.lowest_aligned_block,
        "blocks": disk.blocks,
        "bytes": disk.bytes(),
        "read_only": disk.read_only,
        "force_unit_access": disk.force_unit_access,
        "protection_type": disk.protection_type,
        "max_transfer_blocks": (disk.max_transfer_blocks != u32::MAX).then_some(disk.max_transfer_blocks),
        "optimal_transfer_blocks": disk.optimal_transfer_blocks,
        "thin": thin,
        "released_blocks_read_zeros": reads_zeros,
        "unmap": unmap,
        "write_same_unmaps": write_same_unmaps.is_some(),
        "access_state": disk.access_state.map(|state| state.to_string()),
    })
}

/// Everything about a disk, for people.
pub(crate) fn facts(disk: &Disk, reservation: (&'static str, String)) -> String {
    let physical = physical_block_size(disk);
    let alignment = match disk.lowest_aligned_block {
        0 => String::new(),
        block => format!(", the first at block {block}"),
    };
    let Provisioning { thin, reads_zeros, unmap, write_same_unmaps, .. } = disk.provisioning;
    let mut provisioning = if thin { "thin".to_owned() } else { "full".to_owned() };
    if let Some(limits) = unmap {
        let (blocks, granule) = (limits.blocks, limits.granularity);
        provisioning += &format!("; UNMAP of up to {blocks} blocks, in granules of {granule}");
    }
    if write_same_unmaps.is_some() {
        provisioning += "; WRITE SAME releases blocks";
    }
    if thin && reads_zeros {
        provisioning += "; released blocks read as zeros";
    }
    let limit = match disk.max_transfer_blocks {
        u32::MAX => "any number of blocks".to_owned(),
        blocks => format!("up to {blocks} blocks"),
    };
    let best = disk.optimal_transfer_blocks.map_or(String::new(), |best| format!(", best {best}"));
    let rows = [
        ("LUN", disk.lun.to_string()),
        ("Disk", format!("{} {} {}", disk.vendor, disk.product, disk.revision)),
        (
            "Serial number",
            if disk.serial.is_empty() { "none".to_owned() } else { disk.serial.to_string() },
        ),
        ("Identity", disk.identity.as_ref().map_or("none".to_owned(), ToString::to_string)),
        (
            "Size",
            format!(
                "{} blocks of {} bytes ({})",
                disk.blocks,
                disk.block_size,
                HumanBytes(disk.bytes())
            ),
        ),
        ("Physical blocks", format!("{physical} bytes{alignment}")),
        (
            "Writable",
            if disk.read_only { "no: write-protected".to_owned() } else { "yes".to_owned() },
        ),
        ("Obeys FUA", yes_no(disk.force_unit_access).to_owned()),
        ("Provisioning", provisioning),
        (
            "Protection",
            match disk.protection_type {
                0 => "none".to_owned(),
                kind => format!("type {kind}"),
            },
        ),
        ("One command moves", format!("{limit}{best}")),
        (
            "Access state",
            disk.access_state.map_or("not told".to_owned(), |state| state.to_string()),
        ),
        reservation,
    ];
    rows.map(|(name, value)| format!("{name:20}{value}\n")).concat()
}

fn physical_block_size(disk: &Disk) -> u64 {
    u64::from(disk.block_size) << disk.physical_block_exponent.min(31)
}

/// What the login agreed on, for people.
pub(crate) fn terms(initiator: &Initiator, initiator_name: &Name) -> String {
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
        ("Target", initiator.target.to_string()),
        ("Target alias", alias),
        ("Portal", initiator.portal.to_string()),
        ("Portal group", group),
        ("Initiator", initiator_name.to_string()),
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
pub(crate) fn terms_json(initiator: &Initiator, initiator_name: &Name) -> Value {
    let terms = &initiator.terms;
    let timing = &initiator.timing;
    json!({
        "target": initiator.target.as_str(),
        "target_alias": terms.target_alias.as_deref(),
        "portal": initiator.portal.to_string(),
        "target_portal_group_tag": terms.target_portal_group_tag,
        "initiator": initiator_name.as_str(),
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

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
