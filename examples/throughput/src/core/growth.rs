//! Whether a command costs the same however many LUNs there are and however many commands are
//! outstanding; and how much memory a session and a LUN take.

use super::Effort;
use super::case::Case;
use super::digest::fastest;
use super::timing::take;
use crate::measurement::{Measurement, Quantity, Section};
use crate::progress::Tell;
use crate::sample::Series;
use crate::targets::{names, settings};
use crate::workload::Workload;

/// LUNs that requests go to in turn.
pub const LUNS: [u16; 4] = [1, 8, 64, 300];
/// Requests outstanding.
pub const DEPTHS: [u16; 4] = [1, 8, 32, 128];
/// Commands of each: many more than are outstanding.
const COMMANDS: usize = 512;

/// Time of a 4 KiB read, by LUNs and by depth, with answers that come one at a time: the more come
/// at a time, the less each costs. And bytes of a session, and of what it has room for.
pub fn measure(effort: Effort, tell: Tell<'_>) -> Vec<Measurement> {
    tell("core: a target of 300 LUNs speaks onto a tape");
    let read = |depth| Case::new("", Workload::read(4096, depth)).one_at_a_time();
    let luns = LUNS.map(|luns| (settings::luns(luns.into()), read(8).luns(luns)));
    let depths = DEPTHS.map(|depth| (settings::depth(depth.into()), read(depth)));
    let cases: Vec<(String, Case)> = luns.into_iter().chain(depths).collect();
    let recordings: Vec<_> =
        cases.iter().map(|(_, case)| case.record(COMMANDS, fastest())).collect();
    let titles: Vec<_> =
        cases.into_iter().map(|(name, case)| (Section::Growth, name, case.workload)).collect();
    let mut all = take(effort, tell, &titles, &recordings);
    all.extend(memory());
    all
}

/// Bytes of an initiator with the sizes of README.md's example, and of each disk, request and
/// command more; without data buffers, and with one pointer of a buffer's in each request.
fn memory() -> Vec<Measurement> {
    type Of<const LUNS: usize, const REQUESTS: usize, const TASKS: usize> =
        isboot::boot::Isboot<super::tape::TapeStream, &'static mut [u8], LUNS, REQUESTS, TASKS>;
    let stream = size_of::<super::tape::TapeStream>();
    let whole = size_of::<Of<32, 16, 32>>() - stream;
    let each = |more: usize, count: usize| (more - stream - whole) / count;
    [
        ("session with 32 disks, 16 requests, 32 commands", whole),
        ("each disk more", each(size_of::<Of<{ 32 + 64 }, 16, 32>>(), 64)),
        ("each request more", each(size_of::<Of<32, { 16 + 64 }, 32>>(), 64)),
        ("each command more", each(size_of::<Of<32, 16, { 32 + 64 }>>(), 64)),
    ]
    .map(|(setting, bytes)| Measurement {
        section: Section::Growth,
        setting: setting.to_owned(),
        contender: names::ISBOOT.to_owned(),
        workload: None,
        quantity: Quantity::Bytes,
        series: Series(vec![bytes as f64]),
    })
    .into()
}
