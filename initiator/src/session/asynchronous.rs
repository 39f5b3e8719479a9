//! Asynchronous Messages: what the target says without having been asked (RFC 7143 §11.9).

use super::arriving::SensePrefix;
use super::connection::CONNECTION_ID;
use super::error::Error;
use super::event::Event;
use super::session::Session;
use crate::pdu::response::AsyncMessage;
use crate::time::Instant;

/// AsyncEvent codes (§11.9.1).
mod event {
    pub(super) const SCSI: u8 = 0;
    pub(super) const LOGOUT_WANTED: u8 = 1;
    pub(super) const CONNECTION_DROPPED: u8 = 2;
    pub(super) const ALL_CONNECTIONS_DROPPED: u8 = 3;
    pub(super) const NEGOTIATION_WANTED: u8 = 4;
}

impl<const TASKS: usize> Session<TASKS> {
    /// What is left out is noted by its StatSN alone: vendors' events, those that nobody
    /// assigned, and event 5, which only a session with TaskReporting=FastAbort may see.
    pub(super) fn on_async_message(
        &mut self,
        now: Instant,
        header: &AsyncMessage,
        prefix: SensePrefix,
    ) -> Result<Option<Event<'static>>, Error> {
        self.count_status(&header.numbers)?;
        let [connection, time2wait, _] = header.parameters;
        let asked = Error::TargetAskedToLeave { event: header.event };
        match header.event {
            event::SCSI => return Ok(self.scsi_event(header, prefix)),
            // As soon as possible, whatever the time that the target allows for it.
            event::LOGOUT_WANTED => self.leave_and_return(now, asked),
            event::CONNECTION_DROPPED if connection != CONNECTION_ID => {}
            event::CONNECTION_DROPPED | event::ALL_CONNECTIONS_DROPPED => {
                self.connection.announced_wait = Some(time2wait);
                return Err(asked);
            }
            event::NEGOTIATION_WANTED => self.negotiation_wanted(now),
            code => log::debug!("asynchronous event {code} is of no concern here"),
        }
        Ok(None)
    }

    fn scsi_event(&mut self, header: &AsyncMessage, prefix: SensePrefix) -> Option<Event<'static>> {
        match prefix {
            SensePrefix::Length(length) if !self.sense.is_empty() => {
                if u32::from(length).saturating_add(2) > header.data_segment_length {
                    log::warn!("sense data of a SCSI event is shorter than it says");
                }
                Some(Event::AsyncSense { lun: header.lun })
            }
            _ => {
                log::warn!("a SCSI event came without sense data");
                None
            }
        }
    }
}
