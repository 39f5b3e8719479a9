//! What several suites need: what a target got, and a Reject.

use std::sync::{Arc, Mutex};

use isboot::pdu::request::Request;
use isboot::pdu::response::{Reject, Response};
use isboot_tests::pair::{NUMBERS, status_pdu};
use isboot_tests::target::{Handling, Injection, Target};

/// Requests as they came, each with the number of its connection.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<(u64, Request)>>>);

impl Requests {
    /// Records what `target` gets, which serves it as ever.
    pub(crate) fn of(target: &Target) -> Self {
        Self::scripted(target, |_, _| Handling::Proceed)
    }

    /// Records what `target` gets and `script` decides upon.
    pub(crate) fn scripted(
        target: &Target,
        mut script: impl FnMut(u64, &Request) -> Handling + Send + 'static,
    ) -> Self {
        let requests = Self::default();
        let record = requests.clone();
        target.on_request(move |wire, pdu| {
            let Ok(request) = Request::parse(&pdu.header) else { return Handling::Proceed };
            record.0.lock().unwrap().push((wire.connection, request));
            script(wire.connection, &request)
        });
        requests
    }

    /// What came over this connection.
    pub(crate) fn on(&self, connection: u64) -> Vec<Request> {
        let requests = self.0.lock().unwrap();
        requests.iter().filter(|(on, _)| *on == connection).map(|(_, request)| *request).collect()
    }

    /// What `pick` makes of everything that came.
    pub(crate) fn pick<T>(&self, pick: impl Fn(&Request) -> Option<T>) -> Vec<T> {
        self.0.lock().unwrap().iter().filter_map(|(_, request)| pick(request)).collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A Reject with this reason (RFC 7143 §11.17) and these bytes of what it rejects.
pub(crate) fn reject(reason: u8, rejected: &[u8]) -> Injection {
    let header = Reject { reason, numbers: NUMBERS, data_sn_or_r2t_sn: 0, data_segment_length: 0 };
    status_pdu(Response::Reject(header), rejected)
}
