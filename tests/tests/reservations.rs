//! Units that several hosts and several ports share: persistent reservations, asymmetric access.

use isboot::boot::Parameters;
use isboot::disk::{CommandData, DiskId, RequestError};
use isboot::scsi::persistent_reservation::{
    Reservation, ReservationCapabilities, ReservationKeys, ReservationType, ReserveOut, read_keys,
    read_reservation, report_capabilities,
};
use isboot::scsi::sense::{Sense, SenseKey};
use isboot::scsi::target_port_groups::AccessState;
use isboot_tests::pair::{MIB, NAME, Pair, Setting, target};
use isboot_tests::target::{Lun, Target};

const DISK: DiskId = DiskId(0);
const CONFLICT: RequestError = RequestError::Reserved;

/// A host of its own: another ISID.
fn host(target: &Target, number: u8) -> Pair {
    let setting = Setting { parameters: Parameters::default(), ..Setting::new(&[]) };
    let mut pair = Pair::configured(target, &setting, |config| {
        config.login.isid[5] = number;
    });
    pair.become_ready();
    pair
}

fn reserve(pair: &mut Pair, out: ReserveOut) -> Result<(), RequestError> {
    let data = CommandData::Out(out.parameter_list().to_vec());
    let submitted = pair.isboot.submit_command(DISK, out.cdb(), data);
    pair.finish(submitted).map(|finished| assert_eq!(finished.moved, 24))
}

/// What the unit answers to PERSISTENT RESERVE IN.
fn ask(pair: &mut Pair, cdb: [u8; 16]) -> Vec<u8> {
    let room = usize::from(u16::from_be_bytes([cdb[7], cdb[8]]));
    let submitted = pair.isboot.submit_command(DISK, cdb, CommandData::In(vec![0xee; room]));
    let finished = pair.finish(submitted).unwrap();
    let mut buffer = finished.buffer.unwrap();
    assert!(buffer[finished.moved as usize..].iter().all(|&byte| byte == 0xee));
    buffer.truncate(finished.moved as usize);
    buffer
}

fn keys(pair: &mut Pair) -> Vec<u64> {
    let data = ask(pair, read_keys(1024));
    let keys = ReservationKeys::parse(&data).unwrap();
    assert!(!keys.truncated);
    let mut keys: Vec<u64> = keys.keys().collect();
    keys.sort_unstable();
    keys
}

fn held(pair: &mut Pair) -> Option<(u64, Option<ReservationType>)> {
    Reservation::parse(&ask(pair, read_reservation(64))).unwrap().held
}

fn register(pair: &mut Pair, key: u64, new: u64) -> Result<(), RequestError> {
    reserve(pair, ReserveOut::Register { key, new, persist: false })
}

#[test]
fn a_unit_is_registered_with_reserved_released_and_cleared() {
    let target = target().build();
    let (mut one, mut two) = (host(&target, 1), host(&target, 2));
    let kind = ReservationType::WriteExclusive;
    assert_eq!((keys(&mut one), held(&mut one)), (vec![], None));
    assert_eq!(
        reserve(&mut one, ReserveOut::Reserve { key: 1, kind }),
        Err(CONFLICT),
        "unregistered"
    );
    register(&mut one, 0, 0x11).unwrap();
    register(&mut two, 0, 0x22).unwrap();
    assert_eq!(register(&mut two, 0x99, 0x23), Err(CONFLICT), "not its key");
    assert_eq!(keys(&mut one), [0x11, 0x22]);
    reserve(&mut one, ReserveOut::Reserve { key: 0x11, kind }).unwrap();
    assert_eq!(held(&mut two), Some((0x11, Some(kind))));
    one.write(0, 0, &[1; 512]).unwrap();
    assert_eq!(two.read(0, 0, 512).unwrap(), [1; 512]);
    assert_eq!(two.write(0, 0, &[2; 512]), Err(CONFLICT));
    assert_eq!(target.read_lun(0, 0, 512).unwrap(), [1; 512]);
    reserve(&mut one, ReserveOut::Release { key: 0x11, kind }).unwrap();
    two.write(0, 0, &[2; 512]).unwrap();
    reserve(&mut two, ReserveOut::Clear { key: 0x22 }).unwrap();
    assert_eq!((keys(&mut two), held(&mut two)), (vec![], None));
    one.log_out();
    two.log_out();
}

#[test]
fn who_is_preempted_hears_of_it_and_writes_no_more() {
    for abort in [false, true] {
        let target = target().build();
        let (mut one, mut two) = (host(&target, 1), host(&target, 2));
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        register(&mut one, 0, 0x11).unwrap();
        reserve(&mut two, ReserveOut::RegisterAndIgnore { new: 0x22, persist: false }).unwrap();
        reserve(&mut one, ReserveOut::Reserve { key: 0x11, kind }).unwrap();
        two.write(0, 0, &[2; 512]).unwrap();
        let preempt = ReserveOut::Preempt { key: 0x22, other: 0x11, kind, abort };
        reserve(&mut two, preempt).unwrap();
        assert_eq!((keys(&mut two), held(&mut two)), (vec![0x22], Some((0x22, Some(kind)))));
        // A command of the host's own hears what other requests would pass over.
        let data = CommandData::In(vec![0; 64]);
        let submitted = one.isboot.submit_command(DISK, read_keys(64), data);
        let preempted = Sense {
            key: SenseKey::UnitAttention,
            code: 0x2a,
            qualifier: 0x05,
            deferred: false,
            information: None,
        };
        let told = RequestError::Scsi { status: 2, sense: Some(preempted) };
        assert_eq!(one.finish(submitted).unwrap_err(), told);
        assert_eq!(one.write(0, 0, &[1; 512]), Err(CONFLICT));
        assert_eq!(target.read_lun(0, 0, 512).unwrap(), [2; 512]);
        one.read(0, 0, 512).unwrap();
        one.log_out();
        two.log_out();
    }
}

#[test]
fn capabilities_and_cut_lists_are_told() {
    let target = target().build();
    let mut one = host(&target, 1);
    let data = ask(&mut one, report_capabilities(8));
    let capabilities = ReservationCapabilities::parse(&data).unwrap();
    assert_eq!(capabilities.knows(ReservationType::ExclusiveAccess), Some(true));
    assert!(!capabilities.persist_possible);
    register(&mut one, 0, 5).unwrap();
    let cut = ask(&mut one, read_keys(12));
    let keys = ReservationKeys::parse(&cut).unwrap();
    assert!(keys.truncated && keys.keys().next().is_none());
    one.log_out();
}

#[test]
fn commands_of_the_hosts_own_are_small_and_hand_every_answer_back() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    for length in [0, 65_537] {
        let data = CommandData::In(vec![0; length]);
        let rejected = pair.isboot.submit_command(DISK, read_keys(8), data).unwrap_err();
        assert_eq!(rejected.buffer.into_buffer().unwrap().len(), length);
    }
    let submitted = pair.isboot.submit_command(DISK, [0; 16], CommandData::None);
    let finished = pair.finish(submitted).unwrap();
    assert_eq!((finished.moved, finished.buffer), (0, None));
    // BUSY is the host's to wait for.
    target.force_status(0, 0x08, 1);
    let submitted = pair.isboot.submit_command(DISK, [0; 16], CommandData::None);
    let busy = RequestError::Scsi { status: 8, sense: None };
    assert_eq!(pair.finish(submitted).unwrap_err(), busy);
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

// --- asymmetric access ---

#[test]
fn the_state_of_the_port_in_use_is_told_for_each_disk() {
    let states = [
        (0x0, AccessState::ActiveOptimized),
        (0x1, AccessState::ActiveNonOptimized),
        (0x2, AccessState::Standby),
        (0x3, AccessState::Unavailable),
        (0x4, AccessState::BlockDependent),
        (0xe, AccessState::Offline),
        (0xf, AccessState::Transitioning),
    ];
    for (bits, state) in states {
        // The second group is the other controller's.
        let lun = Lun::memory(MIB).port_group(0x101, bits, &[7, 8]).port_group(0x102, 0x5, &[9]);
        let target = Target::builder(NAME).lun(lun).lun(Lun::memory(MIB)).build();
        let mut pair = Pair::ready(&target, &[]);
        assert_eq!(pair.isboot.disks()[0].access_state, Some(state));
        assert_eq!(pair.isboot.disks()[1].access_state, None, "it has no groups");
        assert_eq!(target.statistics().command_count(0xa3), 1, "only who has any is asked");
        pair.log_out();
    }
}

#[test]
fn a_unit_that_claims_groups_and_refuses_to_tell_is_a_disk_all_the_same() {
    let lun = Lun::memory(MIB).port_group(1, 0, &[1]);
    let target = Target::builder(NAME).lun(lun).build();
    target.refuse_commands(&[0xa3]);
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].access_state, None);
    pair.read(0, 0, 512).unwrap();
    pair.log_out();
}
