//! `ls`: the targets of a portal and their disks, or the disks of one target.

use std::time::Instant;

use isboot::disk::Disk;
use serde_json::{Value, json};

use super::Job;
use crate::discovery::{Answer, Entry, discover};
use crate::failure::Failure;
use crate::initiator::{Address, Initiator};
use crate::options::ListOptions;
use crate::{print, report};

/// The disks of a target, or why they are not known; nothing when nobody asked.
type Listed = Option<Result<Vec<Disk>, Failure>>;

impl Job<'_> {
    pub(super) fn list(&mut self, options: &ListOptions) -> Result<(), Failure> {
        match (&self.url.target, options.targets) {
            (None, only_targets) => self.list_portal(only_targets),
            (Some(_), true) => Err(Failure::Usage(
                "--targets lists the targets of a portal; this URL names a target".to_owned(),
            )),
            (Some(_), false) => self.logged_in(|job, initiator| job.list_target(initiator)),
        }
    }

    fn list_target(&self, initiator: &Initiator) -> Result<(), Failure> {
        let one;
        let disks = match self.url.lun {
            Some(lun) => {
                one = [initiator.disk(lun)?.1];
                &one[..]
            }
            None => initiator.disks(),
        };
        self.print(
            || match disks {
                [] => "The target has no disks, or shows none to this initiator.\n".to_owned(),
                disks => report::table(disks),
            },
            || report::target_json(initiator, disks),
        )
    }

    /// Prints each target as soon as its disks are known: one that takes its time hides no other.
    fn list_portal(&self, only_targets: bool) -> Result<(), Failure> {
        let answer = discover(&self.url.portal, self.identity)?;
        let (mut targets, mut failed) = (Vec::new(), 0);
        for entry in &answer.entries {
            let listed = (!only_targets).then(|| self.disks_of(entry, &answer));
            if let Some(Err(Failure::Interrupted)) = listed {
                return Err(Failure::Interrupted);
            }
            failed += usize::from(matches!(listed, Some(Err(_))));
            if self.json {
                targets.push(entry_json(entry, &listed));
            } else {
                print(&entry_text(entry, &listed))?;
            }
        }
        self.finish(&answer, targets)?;
        match failed {
            0 => Ok(()),
            failed => Err(Failure::Failed(format!(
                "{failed} of the {} targets of {} did not tell their disks; `iscsi-tool ls` with \
                 the target's name asks one alone",
                answer.entries.len(),
                answer.portal
            ))),
        }
    }

    fn disks_of(&self, entry: &Entry, answer: &Answer) -> Result<Vec<Disk>, Failure> {
        let mut failures = Vec::new();
        for portal in entry.portals(answer.portal) {
            if Instant::now() >= self.identity.give_up_at {
                failures
                    .push("not asked, for want of time; --timeout SECONDS gives more".to_owned());
                break;
            }
            let address = Address { portal, target: entry.name.clone(), lun: None };
            match Initiator::log_in(&address, self.identity) {
                Ok(initiator) => {
                    let disks = initiator.disks().to_vec();
                    initiator.log_out();
                    return Ok(disks);
                }
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(failure) => failures.push(failure.to_string()),
            }
        }
        if failures.is_empty() {
            failures.push("it has loopback addresses only, and the portal is elsewhere".to_owned());
        }
        Err(Failure::Failed(failures.join("; ")))
    }

    fn finish(&self, answer: &Answer, targets: Vec<Value>) -> Result<(), Failure> {
        let about = &answer.about;
        if self.json {
            let value = json!({
                "portal": answer.portal.to_string(),
                "targets": targets,
                "unusable": about.unusable,
                "truncated": about.truncated,
            });
            return print(&format!("{value:#}\n"));
        }
        if answer.entries.is_empty() {
            print("The portal has no targets, or shows none to this initiator.\n")?;
        }
        if about.unusable > 0 {
            eprintln!(
                "iscsi-tool: passed over {} names and addresses that cannot be used",
                about.unusable
            );
        }
        if about.truncated {
            eprintln!("iscsi-tool: there are more targets: the list was cut");
        }
        Ok(())
    }
}

fn addresses(entry: &Entry) -> impl Iterator<Item = String> {
    entry.addresses.iter().map(|address| match address.portal_group_tag {
        Some(tag) => format!("{address},{tag}"),
        None => address.to_string(),
    })
}

fn entry_text(entry: &Entry, listed: &Listed) -> String {
    let at = addresses(entry).collect::<Vec<_>>().join(" ");
    let disks = match listed {
        None => return format!("{}  {at}\n", entry.name),
        Some(Ok(disks)) if disks.is_empty() => "no disks\n".to_owned(),
        Some(Ok(disks)) => report::table(disks),
        Some(Err(failure)) => format!("{failure}\n"),
    };
    let indented: String = disks.lines().map(|line| format!("  {line}\n")).collect();
    format!("{}  {at}\n{indented}", entry.name)
}

fn entry_json(entry: &Entry, listed: &Listed) -> Value {
    let addresses = entry.addresses.iter().map(|address| {
        json!({
            "address": address.to_string(),
            "portal_group_tag": address.portal_group_tag,
        })
    });
    let mut value = json!({
        "target": entry.name.as_str(),
        "addresses": addresses.collect::<Vec<_>>(),
    });
    match listed {
        None => {}
        Some(Ok(disks)) => value["disks"] = disks.iter().map(report::disk_json).collect(),
        Some(Err(failure)) => value["error"] = json!(failure.to_string()),
    }
    value
}
