//! `info`: what the login agreed on, how long it took, and everything about the disks.

use isboot::disk::{Disk, DiskId};
use isboot::scsi::persistent_reservation::{
    Reservation, ReservationKeys, ReservationType, read_keys, read_reservation,
};
use serde_json::{Value, json};

use super::Job;
use crate::failure::Failure;
use crate::initiator::Initiator;
use crate::{print, report};

/// Room for the answers about reservations: more keys than hosts share a disk.
const ROOM: u16 = 4096;

/// Who has registered with a disk, and who reserved it.
struct Reservations {
    keys: Vec<u64>,
    held: Option<(u64, Option<ReservationType>)>,
}

impl Job<'_> {
    pub(super) fn info(&mut self) -> Result<(), Failure> {
        self.logged_in(|job, initiator| {
            let one;
            let numbered: Vec<(u16, Disk)> = match job.url.lun {
                Some(lun) => {
                    let (DiskId(place), disk) = initiator.disk(lun)?;
                    one = (place, disk);
                    vec![one]
                }
                None => (0u16..).zip(initiator.disks().iter().cloned()).collect(),
            };
            let (name, quiet) = (&job.identity.initiator_name, job.json);
            if !quiet {
                print(&report::terms(initiator, name))?;
            }
            let mut values = Vec::new();
            for (place, disk) in &numbered {
                let reservations = ask_reservations(initiator, DiskId(*place))?;
                if quiet {
                    let mut value = report::disk_json(disk);
                    value["reservation"] = reservations_json(reservations.as_ref());
                    values.push(value);
                } else {
                    let reserved = ("Reservation", reservations_text(reservations.as_ref()));
                    print(&format!("\n{}", report::facts(disk, reserved)))?;
                }
            }
            if quiet {
                let mut value = report::terms_json(initiator, name);
                value["disks"] = Value::Array(values);
                print(&format!("{value:#}\n"))?;
            }
            Ok(())
        })
    }
}

/// Nothing where the disk does not tell.
fn ask_reservations(
    initiator: &mut Initiator,
    disk: DiskId,
) -> Result<Option<Reservations>, Failure> {
    let Ok(keys) = initiator.ask(disk, read_keys(ROOM), ROOM.into())? else { return Ok(None) };
    let Ok(held) = initiator.ask(disk, read_reservation(ROOM), ROOM.into())? else {
        return Ok(None);
    };
    let parsed = ReservationKeys::parse(&keys).zip(Reservation::parse(&held));
    Ok(parsed.map(|(keys, held)| Reservations { keys: keys.keys().collect(), held: held.held }))
}

fn kind_text(kind: Option<ReservationType>) -> &'static str {
    match kind {
        Some(ReservationType::WriteExclusive) => "write exclusive",
        Some(ReservationType::ExclusiveAccess) => "exclusive access",
        Some(ReservationType::WriteExclusiveRegistrantsOnly) => "write exclusive, registrants only",
        Some(ReservationType::ExclusiveAccessRegistrantsOnly) => {
            "exclusive access, registrants only"
        }
        Some(ReservationType::WriteExclusiveAllRegistrants) => "write exclusive, all registrants",
        Some(ReservationType::ExclusiveAccessAllRegistrants) => "exclusive access, all registrants",
        None => "of an unknown type",
    }
}

fn reservations_text(reservations: Option<&Reservations>) -> String {
    let Some(Reservations { keys, held }) = reservations else { return "not told".to_owned() };
    let registered = match keys.len() {
        0 => String::new(),
        count => format!(
            "; {count} registered: {}",
            keys.iter().map(|key| format!("{key:#x}")).collect::<Vec<_>>().join(", ")
        ),
    };
    match held {
        Some((key, kind)) => format!("{}, held by key {key:#x}{registered}", kind_text(*kind)),
        None => format!("none{registered}"),
    }
}

/// Keys are text: they have 64 bits, and many readers of JSON lose some of them.
fn reservations_json(reservations: Option<&Reservations>) -> Value {
    reservations.map_or(Value::Null, |Reservations { keys, held }| {
        json!({
            "keys": keys.iter().map(|key| format!("{key:#x}")).collect::<Vec<_>>(),
            "holder": held.map(|(key, _)| format!("{key:#x}")),
            "type": held.map(|(_, kind)| kind_text(kind)),
        })
    })
}
