//! Turns the lines of a console into what happened, and knows what to wait for.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::event::{self, Event, Malformed, plain_text};
use crate::machine::IPXE_FAILURE;
use crate::stage::Stage;

/// What a line of the console turned out to be.
#[derive(Debug)]
pub enum News {
    /// A stage.
    Stage(Sighting),
    /// Progress of a transfer.
    Progress(Progress),
    /// Something for people, or an error.
    Other(String),
    /// An empty line.
    Nothing,
}

/// Turns the lines of a console into what happened, and knows what to wait for.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    last: Option<Stage>,
    last_at: Instant,
    /// Stages in their order of appearance, without progress.
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) errors: Vec<GuestError>,
    pub(crate) malformed: Vec<Malformed>,
    pub(crate) last_lines: Vec<String>,
    /// What the guest warned of.
    pub(crate) warnings: Vec<String>,
    /// What iPXE's script could not do.
    pub(crate) ipxe_failure: Option<String>,
}

/// The terminal's own word for an empty screen.
const CLEAR_SCREEN: &str = "\u{1b}[2J";

fn firmware_sighting(stage: Stage, seconds: f64, text: &str) -> Sighting {
    Sighting { stage, seconds, guest_micros: None, fields: Vec::new(), text: text.to_owned() }
}

/// What a log line of the guest holds that warns: `[  0.123456] WARN  target: text`.
const WARNING: &str = "] WARN ";
/// More are not kept.
const MOST_WARNINGS: usize = 1000;

/// Lines of the console that are quoted when a run ends badly.
const LAST_LINES: usize = 12;

impl Watch {
    /// Watches a machine that was switched on at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            last: None,
            last_at: start,
            sightings: Vec::new(),
            errors: Vec::new(),
            malformed: Vec::new(),
            last_lines: Vec::new(),
            warnings: Vec::new(),
            ipxe_failure: None,
        }
    }

    /// Takes one line that ended at `at`.
    pub fn line(&mut self, line: &str, at: Instant) -> News {
        let text = plain_text(line);
        let seconds = at.saturating_duration_since(self.start).as_secs_f64();
        let news = match Event::parse(&text) {
            // OVMF says nothing, but clears the screen.
            None if text.trim().is_empty()
                && self.last.is_none()
                && line.contains(CLEAR_SCREEN) =>
            {
                News::Stage(firmware_sighting(Stage::Firmware, seconds, "clears the screen"))
            }
            None if text.trim().is_empty() => return News::Nothing,
            None => self.free_text(&text, seconds),
            Some(Err(malformed)) => {
                self.malformed.push(malformed);
                News::Other(text.clone())
            }
            Some(Ok(event)) => self.event(event, seconds, &text),
        };
        match &news {
            News::Stage(sighting) => {
                self.reached(sighting.stage, at);
                self.sightings.push(sighting.clone());
            }
            News::Progress(_) => {
                self.reached(Stage::Progress, at);
                return news;
            }
            News::Other(_) | News::Nothing => {}
        }
        if text.contains(WARNING) && self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(text.clone());
        }
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.remove(0);
        }
        self.last_lines.push(text);
        news
    }

    /// The sentence to end with when the run waits for something longer than it may.
    #[must_use]
    pub fn overdue(&self, now: Instant, limit: Duration) -> Option<String> {
        let (what, wait) = Stage::wait_after(self.last);
        let after = match self.last {
            None => "power-on".to_owned(),
            Some(stage) => format!("the stage `{}`", stage.name()),
        };
        if now.saturating_duration_since(self.last_at) > wait {
            return Some(format!(
                "waited {} s for {what} after {after}; --keep leaves the console's log",
                wait.as_secs()
            ));
        }
        if now.saturating_duration_since(self.start) > limit {
            return Some(format!(
                "the whole run took longer than {} s; it was waiting for {what} after {after} \
                 (--timeout gives it more)",
                limit.as_secs()
            ));
        }
        None
    }

    fn reached(&mut self, stage: Stage, at: Instant) {
        self.last = Some(stage);
        self.last_at = at;
    }

    fn free_text(&mut self, text: &str, seconds: f64) -> News {
        if let Some((_, what)) = text.split_once(IPXE_FAILURE) {
            self.ipxe_failure = Some(what.to_owned());
        }
        let seen_already = |stage| self.sightings.iter().any(|sighting| sighting.stage == stage);
        match Stage::of_firmware_text(text).filter(|stage| !seen_already(*stage)) {
            Some(stage) => News::Stage(firmware_sighting(stage, seconds, text.trim())),
            None => News::Other(text.to_owned()),
        }
    }

    fn event(&mut self, event: Event, seconds: f64, text: &str) -> News {
        if event.stage == "error" {
            self.errors.push(GuestError {
                during: event.field("during").unwrap_or_default().to_owned(),
                text: event.field("text").unwrap_or_default().to_owned(),
                seconds,
                guest_micros: event.micros,
            });
            return News::Other(text.to_owned());
        }
        match Stage::of_event(&event.stage) {
            Some(Stage::Progress) => match (event.number("done"), event.number("total")) {
                (Some(done), Some(total)) => News::Progress(Progress {
                    what: event.field("what").unwrap_or_default().to_owned(),
                    done,
                    total,
                    seconds,
                }),
                _ => self.unusable("progress without numbers", text),
            },
            Some(stage) => News::Stage(Sighting {
                stage,
                seconds,
                guest_micros: Some(event.micros),
                fields: event.fields,
                text: String::new(),
            }),
            None => self.unusable("a stage that nobody knows", text),
        }
    }

    fn unusable(&mut self, what: &'static str, line: &str) -> News {
        self.malformed.push(Malformed { what, line: line.to_owned() });
        News::Other(line.to_owned())
    }
}

/// A stage, when it was reached.
#[derive(Clone, Debug, Serialize)]
pub struct Sighting {
    /// Which.
    pub stage: Stage,
    /// When, since power-on.
    pub seconds: f64,
    /// When by the guest's clock, in microseconds since kernel entry.
    pub guest_micros: Option<u64>,
    /// What the guest said of it.
    pub fields: Vec<(String, String)>,
    /// The firmware's line, for a stage of the firmware.
    pub text: String,
}

impl Sighting {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        event::field(&self.fields, name)
    }

    /// The value of a field that counts something.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }
}

/// How far a transfer is.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// `read` or `write`.
    pub what: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// When, since power-on.
    pub seconds: f64,
}

/// An error that the guest reported.
#[derive(Clone, Debug, Serialize)]
pub struct GuestError {
    /// The stage that it was in.
    pub during: String,
    /// Its sentence.
    pub text: String,
    /// When, since power-on.
    pub seconds: f64,
    /// When by the guest's clock, in microseconds since kernel entry.
    pub guest_micros: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::boot::{End, Seen};

    /// A console as a good run leaves it, a line a millisecond.
    pub(crate) fn watched(console: &str) -> Watch {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        for (number, line) in console.lines().enumerate() {
            watch.line(line, start + Duration::from_millis(number as u64));
        }
        watch
    }

    impl Watch {
        pub(crate) fn into_seen(self, end: End) -> Seen {
            Seen {
                sightings: self.sightings,
                errors: self.errors,
                malformed: self.malformed,
                end,
                seconds: 1.0,
                target_name: String::new(),
                sessions: None,
                violations: None,
                luns: Vec::new(),
                images: Vec::new(),
                capture: None,
                last_lines: self.last_lines,
                warnings: self.warnings,
                kept: Vec::new(),
            }
        }
    }

    #[test]
    fn firmware_stages_count_once_and_progress_is_no_sighting() {
        let watch = watched(
            "SeaBIOS (version 1.16.2)\n\nSeaBIOS (version 1.16.2)\n\
             @isboot stage=kernel us=0 loader=multiboot\n\
             @isboot stage=progress us=5 what=read done=10 total=20\n",
        );
        let stages: Vec<Stage> = watch.sightings.iter().map(|sighting| sighting.stage).collect();
        assert_eq!(stages, [Stage::Firmware, Stage::Kernel]);
        assert_eq!(watch.last, Some(Stage::Progress));
    }

    #[test]
    fn firmware_that_only_clears_the_screen_is_seen() {
        let watch = watched("\u{1b}[2J\u{1b}[01;01H\u{1b}[=3h\u{1b}[2J\r\n\r\n\u{1b}[2J\r\n");
        let stages: Vec<Stage> = watch.sightings.iter().map(|sighting| sighting.stage).collect();
        assert_eq!(stages, [Stage::Firmware]);
    }

    #[test]
    fn waiting_too_long_names_what_was_waited_for() {
        let watch = watched("@isboot stage=nic us=0 name=e1000 mac=52:54:00:12:34:56\n");
        let later = |seconds| watch.start + Duration::from_secs(seconds);
        let limit = Duration::from_secs(300);
        assert_eq!(watch.overdue(later(29), limit), None);
        let sentence = watch.overdue(later(31), limit).unwrap();
        assert!(sentence.contains("30 s for the link after the stage `nic`"), "{sentence}");
        let sentence = watch.overdue(later(20), Duration::from_secs(10)).unwrap();
        assert!(sentence.contains("longer than 10 s"), "{sentence}");
        assert!(Watch::new(watch.start).overdue(later(61), limit).unwrap().contains("power-on"));
    }

    #[test]
    fn errors_and_unusable_events_are_kept_apart() {
        let watch = watched(
            "@isboot stage=error us=7 during=link text=\"no link after 10 s\"\n\
             @isboot stage=warp us=8\n@isboot stage=progress us=9 what=read\n@isboot stage\n",
        );
        assert_eq!(watch.errors.len(), 1);
        assert_eq!((watch.errors[0].during.as_str(), watch.errors[0].guest_micros), ("link", 7));
        let what: Vec<&str> = watch.malformed.iter().map(|malformed| malformed.what).collect();
        assert_eq!(
            what,
            ["a stage that nobody knows", "progress without numbers", "a word without `=`"]
        );
    }

    #[test]
    fn what_ipxe_could_not_do_is_named() {
        let watch = watched("isboot-script failed: sanhook of the target: 3d222083\n");
        assert_eq!(watch.ipxe_failure.as_deref(), Some("sanhook of the target: 3d222083"));
    }
}
