//! Every input that fuzzing found worth keeping, again; and some noise made of each.

use std::time::Duration;

use isboot_exercise::{TARGETS, Target, noise, target};

fn replay(name: &str) {
    let target: Target = target(name).expect("a target of that name");
    let mut inputs = Vec::new();
    for (path, bytes) in noise::corpus(&target).expect("a corpus") {
        println!("{}", path.display());
        (target.run)(&bytes);
        inputs.push(bytes);
    }
    (target.run)(&[]);
    noise::run(&target, &inputs, 7, Duration::from_millis(200));
}

/// One test each, named like its target.
macro_rules! replays {
    ($($name:ident),*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!([$(stringify!($name)),*], TARGETS.map(|target| target.name));
        }
    };
}

replays!(
    framer,
    text,
    chap,
    login,
    session,
    full_feature,
    sense,
    report_luns,
    scsi,
    nic,
    ibft_table,
    frames
);
