//! What people and machines read: log lines and event lines.
//!
//! A log line is `[  0.123456] INFO  target: text`. An event line is
//! `@isboot stage=<name> us=<microseconds since kernel entry> key=value …`; a value that is empty
//! or holds a space, a quote or a backslash is quoted.

use core::fmt::{Display, Write};

use heapless::String;
use log::{LevelFilter, Log, Metadata, Record};

use crate::clock;
use crate::failure::Truncating;
use crate::serial::{self, Serial};

/// Starts the serial port and makes it the receiver of `log`.
pub(crate) fn start() {
    serial::start();
    // Fails when it is the receiver already, which is what is wanted.
    let _ = log::set_logger(&LogLines);
    log::set_max_level(LevelFilter::Info);
    // Firmware leaves the cursor anywhere.
    let _ = Serial.write_char('\n');
}

/// One event line. It ends when the event is dropped.
pub(crate) struct Event(());

impl Event {
    pub(crate) fn new(stage: &str) -> Self {
        let _ = write!(Serial, "@isboot stage={stage} us={}", clock::now().as_micros());
        Self(())
    }

    /// Adds `key=value`. A value longer than 512 bytes is cut.
    pub(crate) fn field(self, key: &str, value: impl Display) -> Self {
        let mut text = String::<512>::new();
        let _ = write!(Truncating(&mut text), "{value}");
        let plain = |c: char| !c.is_ascii_control() && !matches!(c, ' ' | '"' | '\\' | '=');
        if !text.is_empty() && text.chars().all(plain) {
            let _ = write!(Serial, " {key}={text}");
            return self;
        }
        let _ = write!(Serial, " {key}=\"");
        for c in text.chars() {
            let _ = match c {
                '"' | '\\' => write!(Serial, "\\{c}"),
                c if c.is_ascii_control() => Serial.write_char('?'),
                c => Serial.write_char(c),
            };
        }
        let _ = Serial.write_char('"');
        self
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = Serial.write_char('\n');
    }
}

struct LogLines;

impl Log for LogLines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let now = clock::now();
        let _ = writeln!(
            Serial,
            "[{:3}.{:06}] {:<5} {}: {}",
            now.as_secs(),
            now.subsec_micros(),
            record.level(),
            record.target(),
            record.args()
        );
    }

    fn flush(&self) {}
}
