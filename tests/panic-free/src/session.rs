use isboot::session::{
    Command, DataOut, Error, LinkFailure, Reset, SendTargets, Session, SessionConfig, TaskTag,
};
use isboot::time::{Duration, Instant};

use crate::{seen, told};

/// Room for as many commands as a small kernel takes and a usual one.
macro_rules! session {
    ($($tasks:literal: $make:ident $again:ident $link:ident $receive:ident $transmit:ident;)*) => { $(
        #[unsafe(no_mangle)]
        pub fn $again(session: &mut Session<$tasks>, config: SessionConfig, now: Instant) {
            session.start_over(config, now);
        }

        #[unsafe(no_mangle)]
        pub fn $make(session: &mut Session<$tasks>, config: SessionConfig, now: Instant) {
            *session = Session::new(config, now);
        }

        #[unsafe(no_mangle)]
        pub fn $link(
            session: &mut Session<$tasks>,
            now: Instant,
            entropy: Option<&[u8; 32]>,
            why: LinkFailure,
            command: Command,
            what: u8,
            task: TaskTag,
            reset: Reset,
            targets: SendTargets,
        ) {
            match what {
                0 => session.link_up(now, entropy),
                1 => session.link_down(now, why),
                2 => told(session.submit(now, command)),
                3 => session.logout(now),
                4 => told(session.poll(now)),
                5 => session.abort(task),
                6 => told(session.reset(reset)),
                7 => told(session.discover(now, targets)),
                8 => session.give_up_at(now),
                _ => {}
            }
            seen((session.link(), session.poll_at(), session.wants_to_transmit()));
            seen((session.negotiated().is_some(), session.sense(), session.outstanding()));
            told(session.ended());
            seen((session.config(), session.found(), session.has_worked()));
        }

        #[unsafe(no_mangle)]
        pub fn $receive(session: &mut Session<$tasks>, now: Instant, mut input: &[u8]) {
            while let Some(event) = session.receive(now, &mut input) {
                told(event);
            }
            seen(input);
        }

        #[unsafe(no_mangle)]
        pub fn $transmit(session: &mut Session<$tasks>, now: Instant, out: &mut [u8]) {
            seen(session.transmit(now, out, &mut Data));
            seen(session.transmit(now, out, &mut ()));
            seen(session.transmit_until(now, out, &mut Data, 1));
            if let Some(bytes) = session.in_place(&Data) {
                seen(bytes);
            }
            session.sent_in_place(out);
        }
    )* };
}

session! {
    4: session_4_make session_4_again session_4_link session_4_receive session_4_transmit;
    32: session_32_make session_32_again session_32_link session_32_receive session_32_transmit;
}

struct Data;

impl DataOut for Data {
    fn fill(&mut self, task: TaskTag, offset: u32, out: &mut [u8]) {
        seen((task, offset, out));
    }

    fn lend(&self, task: TaskTag, offset: u32, length: usize) -> Option<&[u8]> {
        seen((task, offset, length));
        None
    }
}

#[unsafe(no_mangle)]
pub fn time(a: Instant, b: Instant, duration: Duration, number: u64) {
    seen((a.after(duration), a.since(b), a.as_micros(), a.as_millis()));
    seen((Instant::from_micros(number), Instant::from_millis(number)));
}

#[unsafe(no_mangle)]
pub fn failure(error: &Error) {
    seen(error.is_permanent());
    told(error);
}
