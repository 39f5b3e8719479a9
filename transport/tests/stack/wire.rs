//! Two ends of a cable in memory, under a clock that only the test moves.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::num::{NonZeroU16, NonZeroUsize};
use std::rc::Rc;

use isboot_fake_nic::segments;
use isboot_transport::checksum;
use isboot_transport::device::{EthernetDevice, ReceivedFrame};
use isboot_transport::link::Link;
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;

use crate::segmentation::say_largest;

/// What a router answers to a frame that it cannot pass on.
pub(crate) type Router = fn(&[u8]) -> Option<Vec<u8>>;

/// Whether our end's device cuts long segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cutting {
    #[default]
    No,
    /// Into such as the wire takes.
    Right,
    /// Nothing of them ever arrives.
    InVain,
}

/// Bytes of the longest frame that it cuts.
pub(crate) const LONGEST_CUT: usize = 32 << 10;

/// What both ends share.
#[derive(Default)]
pub(crate) struct Cable {
    queues: [VecDeque<Vec<u8>>; 2],
    /// Every frame that end 0 sent.
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) unplugged: bool,
    /// Every frame that end 1 sent.
    pub(crate) came: Vec<Vec<u8>>,
    /// What is on the way to end 1: answers what it cannot pass on.
    pub(crate) router: Option<Router>,
    /// Our end's device no longer answers.
    pub(crate) gone: bool,
    /// Frames of end 1 are lost.
    pub(crate) silent: bool,
    pub(crate) cutting: Cutting,
    /// How many data bytes had the frames that our end's device was to cut.
    pub(crate) cut: Vec<usize>,
    /// What end 1 says in its SYN that it takes.
    pub(crate) largest_segment: Option<u16>,
    /// End 1 is at a switch's port that takes this tag off, and puts it on.
    pub(crate) access_port: Option<[u8; 4]>,
}

/// One end: 0 is ours, 1 the peer's.
#[derive(Clone)]
pub(crate) struct End {
    cable: Rc<RefCell<Cable>>,
    number: usize,
    mtu: usize,
    unflushed: Vec<Vec<u8>>,
    may_cut: bool,
    /// Room for frames that were not flushed.
    pub(crate) room: usize,
}

/// A cable's two ends.
pub(crate) fn cable() -> (End, End) {
    let cable = Rc::new(RefCell::new(Cable::default()));
    let end = |number| End {
        cable: cable.clone(),
        number,
        mtu: 1500,
        unflushed: vec![],
        may_cut: true,
        room: 63,
    };
    (end(0), end(1))
}

impl End {
    pub(crate) fn cable(&self) -> std::cell::RefMut<'_, Cable> {
        self.cable.borrow_mut()
    }

    /// Takes a frame that the other end sent.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut cable = self.cable();
        let frame = cable.queues[self.number].pop_front()?;
        match cable.access_port {
            Some(tag) if self.number == 1 => {
                let is_ours = frame.get(12..16) == Some(&tag);
                Some(if is_ours { [&frame[..12], &frame[16..]].concat() } else { vec![] })
            }
            _ => Some(frame),
        }
    }

    /// What was taken, and is for somebody else at this end.
    pub(crate) fn give_back(&self, frames: Vec<Vec<u8>>) {
        self.cable().queues[self.number].extend(frames);
    }

    /// Changes what is on the way to an end.
    pub(crate) fn on_the_way(&self, to: usize, change: impl FnOnce(&mut VecDeque<Vec<u8>>)) {
        change(&mut self.cable().queues[to]);
    }

    /// Sends a frame to the other end.
    pub(crate) fn put(&self, mut frame: Vec<u8>) {
        let mut cable = self.cable();
        if let (1, Some(largest)) = (self.number, cable.largest_segment) {
            say_largest(&mut frame, largest);
        }
        if let (1, Some(tag)) = (self.number, cable.access_port) {
            frame.splice(12..12, tag);
        }
        if self.number == 0 {
            cable.sent.push(frame.clone());
            if let Some(answer) = cable.router.and_then(|router| router(&frame)) {
                cable.queues[0].push_back(answer);
                return;
            }
        } else {
            cable.came.push(frame.clone());
        }
        if cable.unplugged || (self.number == 1 && cable.silent) {
            return;
        }
        cable.queues[1 - self.number].push_back(frame);
    }
}

impl EthernetDevice for End {
    type Frame<'a> = Rx;

    fn flush(&mut self) {
        for frame in std::mem::take(&mut self.unflushed) {
            self.put(frame);
        }
    }

    fn link(&mut self) -> Link {
        if self.cable().gone {
            Link::Gone
        } else if self.cable().unplugged {
            Link::Down
        } else {
            Link::Up { megabits: 1000, full_duplex: true }
        }
    }

    fn receive_frames(&self) -> usize {
        255
    }

    fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu.into();
    }

    fn longest_segmented(&self) -> Option<usize> {
        let cuts = self.number == 0 && self.cable().cutting != Cutting::No;
        (cuts && self.may_cut).then_some(LONGEST_CUT)
    }

    fn allow_segmentation(&mut self, is_allowed: bool) {
        self.may_cut = is_allowed;
    }
}

impl phy::Device for End {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.take()?;
        Some((Rx(frame), Tx { end: self, size: None }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        (self.unflushed.len() < self.room).then_some(Tx { end: self, size: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        // A cable in memory harms nothing: what tests falsify they seal again. Our end's device
        // computes the sums of what is sent, as the driver does.
        capabilities.checksum.tcp = if self.number == 0 { Checksum::None } else { Checksum::Tx };
        if self.number == 0 && self.cable().cutting != Cutting::No {
            // A tag may come on top.
            let longest = self.longest_segmented().map(|longest| longest - 4);
            capabilities.segmentation.tcpv4 = longest.and_then(NonZeroUsize::new);
        }
        capabilities
    }
}

pub(crate) struct Rx(Vec<u8>);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl ReceivedFrame for Rx {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

pub(crate) struct Tx<'a> {
    end: &'a mut End,
    /// Most bytes of data of one segment, of a frame that is to be cut.
    size: Option<NonZeroU16>,
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let is_ours = self.end.number == 0;
        let cutting = if is_ours { self.end.cable().cutting } else { Cutting::No };
        match self.size.filter(|_| cutting != Cutting::No) {
            None => {
                if is_ours {
                    checksum::complete(&mut frame);
                }
                self.end.unflushed.push(frame);
            }
            Some(size) => {
                assert!(len <= LONGEST_CUT, "{len} bytes");
                self.end.cable().cut.push(len);
                if cutting == Cutting::Right {
                    self.end.unflushed.extend(segments(&frame, size.get().into()));
                }
            }
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.size = meta.segmentation_offload_size;
    }
}
