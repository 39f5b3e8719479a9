//! Between the device and smoltcp: what concerns the neighbourhood stays here, segments are watched.

use core::cell::{Cell, RefCell};
use core::num::NonZeroU16;
use core::time::Duration;

use heapless::Vec;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

use super::duplicate::Checks;
use super::message::{self, Mac, Message, Received};
use super::neighbour::Neighbours;
use super::path::{Path, TooBig};
use super::router::Routers;
use crate::watch::Watch;

/// Answers that wait to be sent. What is asked in a flood beyond that is asked again.
const ANSWER_LIMIT: usize = 8;

/// What is known of the link, kept up to date by the frames that pass.
///
/// smoltcp takes any word for who has an address and forgets all of them after a minute, so it
/// sees no ARP and no neighbour discovery but what this tells it.
#[derive(Debug)]
pub(super) struct Neighbourhood {
    pub(super) mac: Mac,
    pub(super) neighbours: Neighbours,
    pub(super) checks: Checks,
    pub(super) path: Path,
    /// Only where IPv6 is spoken.
    pub(super) routers: Option<Routers>,
    pub(super) answers: Vec<Message, ANSWER_LIMIT>,
    /// Something came in that may want an answer or a change.
    pub(super) touched: bool,
}

impl Neighbourhood {
    pub(super) fn new(mac: Mac, is_ipv6: bool) -> Self {
        Self {
            mac,
            neighbours: Neighbours::default(),
            checks: Checks::default(),
            path: Path::default(),
            routers: is_ipv6.then(Routers::default),
            answers: Vec::new(),
            touched: true,
        }
    }

    /// Takes in a frame that came; says whether it is not for the stack.
    fn received(&mut self, now: Duration, frame: &[u8]) -> bool {
        let Some((&to, rest)) = frame.split_first_chunk::<6>() else { return false };
        let Some((&from, _)) = rest.split_first_chunk::<6>() else { return false };
        match message::read(frame) {
            Received::Other => {
                if to == self.mac {
                    self.neighbours.heard_from(from);
                }
                return false;
            }
            // Our own words, thrown back.
            _ if from == self.mac => return true,
            Received::Sighting(claim, question) => {
                if let Some(claim) = claim.filter(|claim| claim.mac != self.mac) {
                    let defence = self.checks.heard_claim(now, &claim);
                    self.say(defence);
                    self.neighbours.heard_claim(now, &claim);
                }
                if let Some(question) = question {
                    let answer = self.checks.heard_question(&question);
                    self.say(answer);
                }
            }
            Received::Router(said) => {
                if let Some(routers) = &mut self.routers {
                    routers.heard(now, &said);
                }
            }
        }
        self.touched = true;
        true
    }

    /// Takes note of a frame that the stack sent.
    fn sent(&mut self, now: Duration, frame: &[u8]) {
        let Some(&to) = frame.first_chunk::<6>() else { return };
        if to[0] & 1 == 0 {
            self.neighbours.sent_to(now, to);
        } else if let Received::Sighting(_, Some(question)) = message::read(frame) {
            self.neighbours.want(now, question.target, true);
            self.touched = true;
        }
    }

    fn say(&mut self, message: Option<Message>) {
        if let Some(message) = message {
            let _ = self.answers.push(message);
        }
    }
}

/// The middleware's state.
#[derive(Debug)]
pub(super) struct Gate {
    watch: Watch,
    neighbourhood: RefCell<Neighbourhood>,
    now: Cell<Duration>,
}

impl Gate {
    pub(super) fn new(neighbourhood: Neighbourhood) -> Self {
        Self {
            watch: Watch::default(),
            neighbourhood: RefCell::new(neighbourhood),
            now: Cell::new(Duration::ZERO),
        }
    }

    pub(super) fn neighbourhood(&mut self) -> &mut Neighbourhood {
        self.neighbourhood.get_mut()
    }

    /// What is known of the connection.
    pub(super) const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The device, with the gate before it.
    pub(super) fn before<'a, D: Device>(
        &'a self,
        device: &'a mut D,
        now: Duration,
    ) -> Gated<'a, D> {
        self.set_now(now);
        Gated { gate: self, device }
    }

    /// The time of the frames that come and go from here on.
    pub(super) fn set_now(&self, now: Duration) {
        self.now.set(now);
    }

    /// The time of those that come and go now: of the latest poll.
    pub(super) const fn now(&self) -> Duration {
        self.now.get()
    }

    /// Room for an answer to a frame that came.
    pub(super) const fn watched<T>(&self, token: T) -> GatedTx<'_, T> {
        GatedTx { gate: self, segment: None, token }
    }

    /// Takes note of a frame that came, and makes of it one for smoltcp; says whether smoltcp must not
    /// see it.
    ///
    /// Nobody else holds the neighbourhood while a frame passes; a frame that came while somebody
    /// did would be one lost.
    pub(super) fn holds_back(&self, frame: &mut [u8]) -> bool {
        let now = self.now.get();
        let is_kept = match self.neighbourhood.try_borrow_mut() {
            Ok(mut neighbourhood) => {
                if let Some(said) = TooBig::read(frame)
                    && self.is_under_way(&said)
                    && neighbourhood.path.heard(now, &said)
                {
                    neighbourhood.touched = true;
                }
                neighbourhood.received(now, frame)
            }
            Err(_) => true,
        };
        is_kept || self.watch.refuses(frame, now)
    }

    fn is_under_way(&self, said: &TooBig) -> bool {
        let TooBig { target, ports, sequence, .. } = *said;
        self.watch.recovery(|recovery| recovery.is_under_way(target.into(), ports, sequence))
    }

    fn sent(&self, frame: &mut [u8], segment: Option<NonZeroU16>) {
        if let Ok(mut neighbourhood) = self.neighbourhood.try_borrow_mut() {
            neighbourhood.sent(self.now.get(), frame);
        }
        self.watch.sent(frame, segment, self.now.get());
    }
}

/// A device with the gate before it, for what is sent: what comes the stack is
/// [handed](Handing).
#[derive(Debug)]
pub(super) struct Gated<'a, D> {
    gate: &'a Gate,
    device: &'a mut D,
}

impl<D: Device> Device for Gated<'_, D> {
    type RxToken<'b>
        = Told<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = GatedTx<'b, D::TxToken<'b>>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        None
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let gate = self.gate;
        self.device.transmit(now).map(|token| GatedTx { gate, segment: None, token })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// Room for a frame to be sent.
#[derive(Debug)]
pub(super) struct GatedTx<'a, T> {
    gate: &'a Gate,
    /// Most bytes of data in one segment, where the device is to cut the frame.
    segment: Option<NonZeroU16>,
    token: T,
}

impl<T: TxToken> TxToken for GatedTx<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.token.consume(length, |frame| {
            let result = write(frame);
            self.gate.sent(frame, self.segment);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
        self.token.set_meta(meta);
    }
}

/// A device that has one frame to give, which passed the gate or is our own, and room for an answer.
#[derive(Debug)]
pub(super) struct Handing<'a, T>(Option<(Told<'a>, T)>);

impl<'a, T> Handing<'a, T> {
    pub(super) const fn new(frame: &'a [u8], transmit: T) -> Self {
        Self(Some((Told(frame), transmit)))
    }
}

impl<'a, T: TxToken> Device for Handing<'a, T> {
    type RxToken<'b>
        = Told<'a>
    where
        Self: 'b;
    type TxToken<'b>
        = T
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Told<'a>, T)> {
        self.0.take()
    }

    fn transmit(&mut self, _: Instant) -> Option<T> {
        None
    }

    /// The stack knows those of the device.
    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities::default()
    }
}

/// A frame for the stack.
#[derive(Debug)]
pub(super) struct Told<'a>(&'a [u8]);

impl RxToken for Told<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}
