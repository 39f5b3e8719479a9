//! Target port groups (SPC-4 §6.37).

use super::sense::Sense;
use super::{allocated, be32};
use crate::target::lun::Lun;

pub(super) fn report_target_port_groups(lun: &Lun, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    if lun.port_groups.is_empty() {
        return Err(Sense::INVALID_OPERATION);
    }
    if cdb[1] != 0x0a {
        return Err(Sense::INVALID_FIELD);
    }
    let mut groups = Vec::new();
    for (number, state, ports) in &lun.port_groups {
        let [high, low] = number.to_be_bytes();
        // Every state is supported; the status says that the device changed it.
        groups.extend_from_slice(&[*state, 0xcf, high, low, 0, 0x02, 0, ports.len() as u8]);
        for port in ports {
            let [high, low] = port.to_be_bytes();
            groups.extend_from_slice(&[0, 0, high, low]);
        }
    }
    let length = u32::try_from(groups.len()).unwrap_or(u32::MAX);
    Ok(allocated([&length.to_be_bytes()[..], &groups].concat(), be32(cdb, 6)))
}
