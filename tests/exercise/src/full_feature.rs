//! Full feature phase at the mercy of a target: a session that is logged in, with commands of all
//! kinds submitted, and then any PDUs in any order with time passing between them.

use crate::Script;
use crate::session::World;

/// Byte 0: the terms of the login. Byte 1: which commands. Then steps as in [`crate::session`],
/// of which those that end the session are rare.
pub(crate) fn full_feature(input: &[u8]) {
    let mut script = Script(input);
    let terms = script.byte().unwrap_or(0);
    let commands = script.byte().unwrap_or(0);
    let mut world = World::new();
    world.log_in(terms);
    assert!(world.is_logged_in(), "good answers log in");
    for number in 0..1 + (commands & 3) {
        let kind = commands >> (2 + number) & 3;
        let size = commands.rotate_left(u32::from(number) * 3) | 1;
        world.submit(&mut Script(&[kind, size]));
    }
    world.transmit(1 << 14);
    while let Some(operation) = script.byte() {
        world.full_feature_step(operation, &mut script);
        world.check();
    }
    world.finish();
}
