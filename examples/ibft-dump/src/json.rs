//! The table as JSON, for programs.

use isboot_ibft::{Error, Ibft, LunEncoding, Secret, Text};
use serde_json::{Value, json};

use crate::Secrets;

/// Everything in the table as one JSON object. What the table does not have is `null`.
pub fn json(ibft: &Ibft<'_>, origin: &str, secrets: Secrets) -> Value {
    let secret = |secret: Result<Secret<'_>, Error>| match secret {
        Ok(secret) if !secret.is_empty() => json!(secrets.print(secret)),
        _ => Value::Null,
    };
    let initiator = ibft.initiator().map(|it| {
        json!({
            "index": it.index(),
            "flags": it.flags(),
            "name": text(it.name()),
            "isns_server": it.isns_server().map(|it| it.to_string()),
            "slp_server": it.slp_server().map(|it| it.to_string()),
            "primary_radius_server": it.primary_radius_server().map(|it| it.to_string()),
            "secondary_radius_server": it.secondary_radius_server().map(|it| it.to_string()),
        })
    });
    let nics: Vec<_> = ibft
        .nics()
        .map(|it| {
            json!({
                "index": it.index(),
                "flags": it.flags(),
                "mac": it.mac().to_string(),
                "pci_address": it.pci_address().to_string(),
                "address": it.address().map(|it| it.to_string()),
                "prefix": it.prefix(),
                "origin": it.origin().to_string(),
                "uses_dhcp": it.uses_dhcp(),
                "gateway": it.gateway().map(|it| it.to_string()),
                "primary_dns": it.primary_dns().map(|it| it.to_string()),
                "secondary_dns": it.secondary_dns().map(|it| it.to_string()),
                "dhcp_server": it.dhcp_server().map(|it| it.to_string()),
                "vlan": it.vlan(),
                "host_name": text(it.host_name()),
            })
        })
        .collect();
    let targets: Vec<_> = ibft
        .targets()
        .map(|it| {
            json!({
                "index": it.index(),
                "flags": it.flags(),
                "name": text(it.name()),
                "address": it.address().map(|it| it.to_string()),
                "port": it.port(),
                "lun": it.lun().number(),
                "lun_bytes": it.lun().raw(),
                "lun_is_little_endian": matches!(it.lun().encoding(), LunEncoding::LittleEndian(_)),
                "nic_association": it.nic_association(),
                "nic": ibft.nic_for(&it).map(|nic| nic.index()),
                "chap": it.chap_type().to_string(),
                "chap_name": text(it.chap_name()),
                "chap_secret": secret(it.chap_secret()),
                "reverse_chap_name": text(it.reverse_chap_name()),
                "reverse_chap_secret": secret(it.reverse_chap_secret()),
                "problem": it.problem().map(|problem| problem.to_string()),
            })
        })
        .collect();
    let boot_order: Vec<_> = ibft.targets_in_order().map(|target| target.index()).collect();
    let problems: Vec<_> = ibft.problems().map(|problem| problem.to_string()).collect();
    json!({
        "origin": origin,
        "signature": ibft.signature().escape_ascii().to_string(),
        "length": ibft.as_bytes().len(),
        "oem_id": ibft.oem_id().to_string(),
        "oem_table_id": ibft.oem_table_id().to_string(),
        "boot_failover": ibft.boot_failover(),
        "initiator": initiator,
        "nics": nics,
        "targets": targets,
        "boot_order": boot_order,
        "problems": problems,
    })
}

fn text(text: Result<Text<'_>, Error>) -> Value {
    match text {
        Ok(text) if !text.is_empty() => json!(text.to_string()),
        _ => Value::Null,
    }
}
