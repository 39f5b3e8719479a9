use isboot::disk::{CommandData, DiskId, Disks, Lent, RequestId, RequestKind, TransferLimit};
use isboot::scsi::cdb::Cdb;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot::session::{Completion, DataOut, Session, TaskTag};
use isboot::time::{Duration, Instant};

use crate::{seen, told};

type Buffer = &'static mut [u8];
type Some = Disks<Buffer, 8, 16, 32>;

#[unsafe(no_mangle)]
pub fn disks_make(
    disks: &mut Some,
    lun: LogicalUnitNumber,
    depth: usize,
    limit: TransferLimit,
    ready_timeout: Duration,
) {
    *disks = Disks::new(lun, depth, limit, ready_timeout);
}

#[unsafe(no_mangle)]
pub fn disks_look(disks: &Some, id: DiskId) {
    seen((disks.list(), disks.state(), disks.outstanding(), disks.finished()));
    seen((disks.disk(id).map(|disk| disk.bytes()), disks.advance_at(), disks.boot_lun()));
}

#[unsafe(no_mangle)]
pub fn disks_command(disks: &mut Some, id: DiskId, cdb: Cdb, data: CommandData<Buffer>) {
    if let Err(rejected) = disks.submit_command(id, cdb, data) {
        seen(rejected.buffer.into_buffer());
        told(rejected.reason);
    }
}

#[unsafe(no_mangle)]
pub fn disks_change(disks: &mut Some, session: &mut Session<32>) {
    disks.rescan();
    disks.logged_in(session);
    told(disks.take_notice());
}

#[unsafe(no_mangle)]
pub fn disks_submit(
    disks: &mut Some,
    id: DiskId,
    lba: u64,
    buffer: Buffer,
    what: u8,
    kind: RequestKind,
    length: usize,
    lun: LogicalUnitNumber,
) {
    match what {
        0 => seen(disks.submit_read(id, lba, buffer)),
        1 => seen(disks.submit_write(id, lba, buffer)),
        2 => told(disks.submit_flush(id)),
        3 => told(disks.submit_unmap(id, lba, length as u64)),
        4 => told(disks.submit_write_zeros(id, lba, length as u64, length & 1 != 0)),
        5 => seen(disks.submit_write_same(id, lba, length as u64, buffer, length & 1 != 0)),
        6 => seen(disks.submit_write_through(id, lba, buffer)),
        7 => told(disks.boot_disk()),
        8 => disks.start_over(lun),
        _ => told(disks.submit_lent(kind, id, lba, length)),
    }
}

#[unsafe(no_mangle)]
pub fn disks_advance(disks: &mut Some, now: Instant, session: &mut Session<32>) {
    disks.advance(now, session);
}

#[unsafe(no_mangle)]
pub fn disks_end(
    disks: &mut Some,
    request: RequestId,
    session: &mut Session<32>,
    lun: [u8; 8],
    sense: &[u8],
) {
    disks.abort(request, session);
    disks.reported(lun, sense);
}

#[unsafe(no_mangle)]
pub fn disks_complete(
    disks: &mut Some,
    now: Instant,
    task: TaskTag,
    completion: Completion,
    sense: &[u8],
    id: RequestId,
) {
    disks.completed(now, task, completion, sense);
    told(disks.take_completion());
    told(disks.take_completion_of(id));
}

#[unsafe(no_mangle)]
pub fn disks_data(
    disks: &mut Some,
    task: TaskTag,
    offset: u32,
    bytes: &[u8],
    out: &mut [u8],
    mut lent: Lent<'_>,
) {
    disks.data_in(task, offset, bytes, &mut lent);
    disks.data_out(&lent).fill(task, offset, out);
}
