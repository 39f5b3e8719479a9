//! Whether a command costs the same however many LUNs there are and however many commands are
//! outstanding; and how much memory a session and a LUN take.

use super::Effort;
use super::case::Case;
use super::timing::{record, take};
use crate::measurement::{Measurement, Quantity, Section};
use crate::progress::Tell;
use crate::sample::Series;
use crate::workload::Workload;

/// LUNs that requests go to in turn.
pub const MANY_LUNS: [u16; 4] = [1, 8, 64, 300];
/// Requests outstanding.
pub const DEPTHS: [u16; 4] = [1, 8, 32, 128];

/// What a case with so many LUNs, or of such a depth, is named in the setting of its figure.
pub fn settings() -> [String; 8] {
    let luns = MANY_LUNS.map(|luns| format!("{luns} LUNs"));
    let depths = DEPTHS.map(|depth| format!("depth {depth}"));
    let mut all = luns.into_iter().chain(depths);
    [(); 8].map(|()| all.next().unwrap_or_default())
}

/// Time of a 4 KiB read, by LUNs and by depth; bytes of a session, and of each LUN more.
pub fn measure(effort: Effort, tell: Tell<'_>) -> Vec<Measurement> {
    tell("core: a target of 300 LUNs speaks onto a tape");
    let luns = MANY_LUNS.map(|luns| Case::new("", Workload::read(4096, 8)).luns(luns));
    let depths = DEPTHS.map(|depth| Case::new("", Workload::read(4096, depth)));
    let cases: Vec<Case> = luns.into_iter().chain(depths).collect();
    let recordings: Vec<_> = cases.iter().map(|case| record(*case)).collect();
    let names: Vec<_> = settings()
        .into_iter()
        .zip(&cases)
        .map(|(setting, case)| (Section::Growth, setting, case.workload))
        .collect();
    let mut all = take(effort, tell, &names, &recordings);
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
        contender: "isboot".to_owned(),
        workload: None,
        quantity: Quantity::Bytes,
        series: Series(vec![bytes as f64]),
    })
    .into()
}
