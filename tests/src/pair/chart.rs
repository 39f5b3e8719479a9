//! A sequence chart: what went over the wire, one short line for each PDU.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use isboot::pdu::bhs::RESERVED_TAG;
use isboot::pdu::request::Request;
use isboot::pdu::response::Response;

use crate::target::{Fate, Handling, Target};

/// Lines such as `> write 4096, 1024 immediate` and `< good`.
#[derive(Clone, Debug, Default)]
pub struct Chart(Arc<Mutex<Vec<String>>>);

impl Chart {
    /// Draws what `target` receives and sends from now on. Takes the place of its hooks.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        let chart = Self::default();
        let line = chart.clone();
        target.on_request(move |_, pdu| {
            let text = Request::parse(&pdu.header).map_or_else(|e| e.to_string(), |r| request(&r));
            line.push(format!("> {text}"));
            Handling::Proceed
        });
        let line = chart.clone();
        target.on_response(move |_, pdu| {
            let length = pdu.data.len() as u32;
            let text = Response::parse(&pdu.header)
                .map_or_else(|e| e.to_string(), |r| response(&r, length));
            line.push(format!("< {text}"));
            Fate::Send
        });
        chart
    }

    /// The lines since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lines since the last call are these.
    ///
    /// # Panics
    /// When they are not.
    #[track_caller]
    pub fn assert(&self, expected: &[&str]) {
        assert_eq!(self.take(), expected);
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

fn request(request: &Request) -> String {
    match request {
        Request::ScsiCommand(command) => {
            let length = command.expected_data_transfer_length;
            let what = match (command.read, command.write) {
                (true, _) => format!("read {length}"),
                (_, true) => format!("write {length}"),
                _ => format!("command {:02x}", command.cdb[0]),
            };
            let immediate = match command.data_segment_length {
                0 => String::new(),
                count => format!(", {count} immediate"),
            };
            let more = if command.last { "" } else { ", more follows" };
            format!("{what}{immediate}{more}")
        }
        Request::DataOut(data) => {
            let kind =
                if data.target_transfer_tag == RESERVED_TAG { "unsolicited" } else { "data" };
            let end = data.buffer_offset + data.data_segment_length;
            let last = if data.last { ", last" } else { "" };
            format!("{kind} {}..{end}{last}", data.buffer_offset)
        }
        Request::NopOut(nop) if nop.initiator_task_tag == RESERVED_TAG => "pong".to_owned(),
        Request::NopOut(_) => "ping".to_owned(),
        Request::Login(_) => "login".to_owned(),
        Request::Logout(_) => "logout".to_owned(),
        other => format!("{other:?}"),
    }
}

fn response(response: &Response, length: u32) -> String {
    match response {
        Response::DataIn(data) => {
            let end = data.buffer_offset + length;
            let status = if data.status.is_some() { ", good" } else { "" };
            format!("data {}..{end}{status}", data.buffer_offset)
        }
        Response::Scsi(response) if response.response != 0 => "target failure".to_owned(),
        Response::Scsi(response) if response.status == 0 => "good".to_owned(),
        Response::Scsi(response) => format!("status {:02x}", response.status),
        Response::ReadyToTransfer(r2t) => {
            let end = r2t.buffer_offset + r2t.desired_data_transfer_length;
            format!("r2t {}..{end}", r2t.buffer_offset)
        }
        Response::NopIn(nop) => match (nop.initiator_task_tag, nop.target_transfer_tag) {
            (RESERVED_TAG, RESERVED_TAG) => "nop".to_owned(),
            (RESERVED_TAG, _) => "ping".to_owned(),
            _ => "pong".to_owned(),
        },
        Response::Login(_) => "login".to_owned(),
        Response::Logout(_) => "logout".to_owned(),
        other => format!("{other:?}"),
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
