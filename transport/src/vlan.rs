//! 802.1Q: the frames of one VLAN, tagged on the wire, untagged above.
//!
//! This middleware lies between the device and the stack, which knows no tags. With a VLAN every
//! frame leaves with its tag (priority 0, not drop eligible), and only frames with that tag come
//! through. Without one, tagged frames are dropped.
//!
//! A tag stands behind the two addresses of a frame, so it costs no copy: the stack writes a frame
//! four bytes into the buffer and the twelve bytes of the addresses move to its start; on receive
//! they move the other way, in the buffer where the device put the frame.

use core::fmt;
use core::num::NonZeroU16;

use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::device::{EthernetDevice, ReceivedFrame};
use crate::link::Link;

/// A VLAN identifier, 1 to 4094 (IEEE 802.1Q-2018 §9.6: 0 is none, 4095 is reserved).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanId(NonZeroU16);

impl VlanId {
    /// The VLAN of this number, when it is one.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) if number.get() < RESERVED => Some(Self(number)),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Frames that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VlanDrops {
    /// Without a VLAN's tag, where one is required. A tag that only gives a priority (VLAN 0) is
    /// none: what a switch sends so belongs to the untagged network (802.1Q §6.9.1).
    pub untagged: u64,
    /// Of another VLAN; any, where none is used.
    pub other_vlan: u64,
    /// With two tags, or a provider's (802.1ad): nothing that ends at a station.
    pub stacked: u64,
    /// Shorter than a header with a tag.
    pub short: u64,
}

impl fmt::Display for VlanDrops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { untagged, other_vlan, stacked, short } = self;
        write!(
            f,
            "{untagged} untagged, {other_vlan} of other VLANs, {stacked} with several tags, \
             {short} too short"
        )
    }
}

/// A device whose frames are those of one VLAN, or untagged.
#[derive(Debug)]
pub struct VlanDevice<D> {
    device: D,
    vlan: Option<VlanId>,
    drops: VlanDrops,
}

impl<D> VlanDevice<D> {
    /// The frames of `vlan` on `device`; `None`: untagged ones.
    #[must_use]
    pub const fn new(device: D, vlan: Option<VlanId>) -> Self {
        let drops = VlanDrops { untagged: 0, other_vlan: 0, stacked: 0, short: 0 };
        Self { device, vlan, drops }
    }

    /// The VLAN.
    #[must_use]
    pub const fn vlan(&self) -> Option<VlanId> {
        self.vlan
    }

    /// What was dropped so far.
    #[must_use]
    pub const fn drops(&self) -> VlanDrops {
        self.drops
    }

    /// The device underneath.
    #[must_use]
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// The device underneath.
    pub const fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Gives the device back.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device
    }
}

impl<D: EthernetDevice> EthernetDevice for VlanDevice<D> {
    type Frame<'a>
        = VlanRx<D::Frame<'a>>
    where
        Self: 'a;

    fn may_have_received(&mut self) -> bool {
        self.device.may_have_received()
    }

    fn flush(&mut self) {
        self.device.flush();
    }

    fn link(&mut self) -> Link {
        self.device.link()
    }

    fn receive_frames(&self) -> usize {
        self.device.receive_frames()
    }

    fn max_mtu(&self) -> u16 {
        self.device.max_mtu()
    }

    fn set_mtu(&mut self, mtu: u16) {
        self.device.set_mtu(mtu);
    }

    fn longest_segmented(&self) -> Option<usize> {
        self.device.longest_segmented()
    }

    fn allow_segmentation(&mut self, is_allowed: bool) {
        self.device.allow_segmentation(is_allowed);
    }
}

impl<D: EthernetDevice> Device for VlanDevice<D> {
    type RxToken<'a>
        = VlanRx<D::Frame<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = VlanTx<D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let vlan = self.vlan;
        let (frame, transmit) = self.device.receive(now)?;
        let mut frame = D::Frame::from(frame);
        let begin = match open(frame.bytes_mut(), vlan) {
            Ok(begin) => Some(begin),
            Err(reason) => {
                let count = self.drops.count(reason);
                *count = count.wrapping_add(1);
                None
            }
        };
        Some((VlanRx { frame, begin }, VlanTx { token: transmit, vlan }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let vlan = self.vlan;
        self.device.transmit(now).map(|token| VlanTx { token, vlan })
    }

    /// The stack's frames are as long as the device says; the tag comes on top, for which every
    /// Ethernet has room (802.3 §3.2.7).
    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A frame that came, without its tag; nothing, when it is not for us.
#[derive(Debug)]
pub struct VlanRx<T> {
    frame: T,
    /// Where it begins; `None`: it was dropped.
    begin: Option<usize>,
}

impl<T: ReceivedFrame> ReceivedFrame for VlanRx<T> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        let Some(begin) = self.begin else { return &mut [] };
        self.frame.bytes_mut().get_mut(begin..).unwrap_or_default()
    }
}

impl<T: ReceivedFrame> RxToken for VlanRx<T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(mut self, read: F) -> R {
        // smoltcp has no way to say no: a frame of nothing is dropped by its first check.
        read(self.bytes_mut())
    }

    fn meta(&self) -> PacketMeta {
        self.frame.meta()
    }
}

/// Room for a frame to be sent with its tag.
#[derive(Debug)]
pub struct VlanTx<T> {
    token: T,
    vlan: Option<VlanId>,
}

impl<T: TxToken> TxToken for VlanTx<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Some(vlan) = self.vlan else { return self.token.consume(length, write) };
        self.token.consume(length.saturating_add(TAG), |frame| {
            let result = write(frame.get_mut(TAG..).unwrap_or_default());
            if let Some(head) = frame.first_chunk_mut::<HEAD>() {
                head.rotate_left(TAG);
                let [.., p0, p1, t0, t1] = head;
                [*p0, *p1] = C_TAG.to_be_bytes();
                // Priority 0, DEI 0.
                [*t0, *t1] = vlan.number().to_be_bytes();
            }
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

/// Bytes of a tag.
const TAG: usize = 4;
/// Bytes of the two addresses and a tag.
const HEAD: usize = 12 + TAG;
/// Tag protocol identifier of a customer VLAN (802.1Q §9.5).
const C_TAG: u16 = 0x8100;
/// … of a provider's (802.1ad), and what came before that standard.
const S_TAGS: [u16; 2] = [0x88a8, 0x9100];
/// The VLAN identifier in a tag; above it are priority and DEI, whatever they are.
const VLAN_ID: u16 = 0x0fff;
/// What is no VLAN at the upper end (802.1Q table 9-2).
const RESERVED: u16 = 4095;

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Untagged,
    OtherVlan,
    Stacked,
    Short,
}

impl VlanDrops {
    fn count(&mut self, reason: Reason) -> &mut u64 {
        match reason {
            Reason::Untagged => &mut self.untagged,
            Reason::OtherVlan => &mut self.other_vlan,
            Reason::Stacked => &mut self.stacked,
            Reason::Short => &mut self.short,
        }
    }
}

/// Where the frame begins for the stack, once its addresses were moved behind its tag; or why it
/// is not for us.
fn open(frame: &mut [u8], vlan: Option<VlanId>) -> Result<usize, Reason> {
    let outer = protocol(frame, 12).ok_or(Reason::Short)?;
    if S_TAGS.contains(&outer) {
        return Err(Reason::Stacked);
    }
    if outer != C_TAG {
        return if vlan.is_none() { Ok(0) } else { Err(Reason::Untagged) };
    }
    let inner = protocol(frame, HEAD).ok_or(Reason::Short)?;
    if inner == C_TAG || S_TAGS.contains(&inner) {
        return Err(Reason::Stacked);
    }
    let tag = protocol(frame, 14).ok_or(Reason::Short)?;
    match (tag & VLAN_ID, vlan) {
        (0, None) => {}
        (0, Some(_)) => return Err(Reason::Untagged),
        (number, Some(wanted)) if number == wanted.number() => {}
        _ => return Err(Reason::OtherVlan),
    }
    frame.first_chunk_mut::<HEAD>().ok_or(Reason::Short)?.rotate_right(TAG);
    Ok(TAG)
}

/// The 16 bits at an offset, in network order.
fn protocol(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    const ADDRESSES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn frame(rest: &[u8]) -> Vec<u8> {
        [&ADDRESSES, rest].concat()
    }

    fn vlan(number: u16) -> Option<VlanId> {
        Some(VlanId::new(number).unwrap())
    }

    /// What the stack sees of a frame.
    fn opened(rest: &[u8], vlan: Option<VlanId>) -> Result<Vec<u8>, Reason> {
        let mut frame = frame(rest);
        open(&mut frame, vlan).map(|begin| frame[begin..].to_vec())
    }

    #[test]
    fn vlans_are_1_to_4094() {
        for number in [0, 4095, 4096, u16::MAX] {
            assert_eq!(VlanId::new(number), None, "{number}");
        }
        for number in [1, 7, 4094] {
            assert_eq!(VlanId::new(number).map(VlanId::number), Some(number));
        }
    }

    #[test]
    fn only_our_tag_comes_through_and_is_taken_off() {
        let ours = [0x81, 0, 0, 7, 8, 0, 42];
        assert_eq!(opened(&ours, vlan(7)), Ok(frame(&[8, 0, 42])));
        // Whatever its priority and DEI.
        assert_eq!(opened(&[0x81, 0, 0xf0, 7, 8, 0, 42], vlan(7)), Ok(frame(&[8, 0, 42])));
        assert_eq!(opened(&ours, vlan(8)), Err(Reason::OtherVlan));
        assert_eq!(opened(&ours, vlan(0x107)), Err(Reason::OtherVlan));
        assert_eq!(opened(&ours, None), Err(Reason::OtherVlan));
        assert_eq!(opened(&[0x81, 0, 0xf, 0xff, 8, 0], vlan(7)), Err(Reason::OtherVlan));
    }

    #[test]
    fn untagged_and_priority_tagged_frames_are_of_the_untagged_network() {
        for priority in [0, 0x20, 0xf0] {
            let tagged = [0x81, 0, priority, 0, 8, 0, 42];
            assert_eq!(opened(&tagged, None), Ok(frame(&[8, 0, 42])));
            assert_eq!(opened(&tagged, vlan(7)), Err(Reason::Untagged));
        }
        assert_eq!(opened(&[8, 0, 42], None), Ok(frame(&[8, 0, 42])));
        assert_eq!(opened(&[8, 0, 42], vlan(7)), Err(Reason::Untagged));
    }

    #[test]
    fn several_tags_and_providers_tags_are_refused() {
        for vlan in [None, vlan(7)] {
            for rest in [
                &[0x81, 0, 0, 7, 0x81, 0, 0, 9, 8, 0][..],
                &[0x81, 0, 0, 7, 0x88, 0xa8, 0, 9, 8, 0],
                &[0x81, 0, 0, 0, 0x81, 0, 0, 7, 8, 0],
                &[0x88, 0xa8, 0, 7, 8, 0],
                &[0x91, 0, 0, 7, 8, 0],
            ] {
                assert_eq!(opened(rest, vlan), Err(Reason::Stacked), "{rest:02x?}");
            }
        }
    }

    #[test]
    fn frames_that_end_within_their_header_are_refused() {
        let whole = frame(&[0x81, 0, 0, 7, 8, 0]);
        for length in 0..whole.len() {
            let mut short = whole[..length].to_vec();
            let untouched = short.clone();
            assert_eq!(open(&mut short, vlan(7)), Err(Reason::Short), "{length}");
            assert_eq!(open(&mut short, None), Err(Reason::Short), "{length}");
            assert_eq!(short, untouched);
        }
        assert_eq!(open(&mut whole.clone(), vlan(7)), Ok(4));
    }

    proptest! {
        /// Whatever comes: a frame that is for us is what it was without its tag, any other is
        /// left as it is.
        #[test]
        fn no_byte_is_lost_or_made_up(
            bytes in vec(any::<u8>(), 0..40),
            tagged in any::<bool>(),
            number in 0_u16..16,
            ours in 0_u16..4,
        ) {
            let mut frame = bytes.clone();
            if tagged && bytes.len() >= HEAD {
                let number = if number < 8 { ours } else { number };
                frame[12..14].copy_from_slice(&C_TAG.to_be_bytes());
                frame[14..16].copy_from_slice(&number.to_be_bytes());
            }
            let before = frame.clone();
            match open(&mut frame, VlanId::new(ours)) {
                Ok(0) => prop_assert_eq!(&frame, &before),
                Ok(begin) => {
                    prop_assert_eq!(begin, TAG);
                    prop_assert_eq!(&frame[begin..], [&before[..12], &before[HEAD..]].concat());
                }
                Err(_) => prop_assert_eq!(&frame, &before),
            }
        }
    }

    /// A buffer as long as what is asked of it, or none.
    struct Buffer<'a>(&'a mut Vec<u8>, bool);

    impl TxToken for Buffer<'_> {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
            self.0.resize(if self.1 { length } else { 0 }, 0xaa);
            write(self.0)
        }
    }

    #[test]
    fn every_frame_leaves_with_the_tag() {
        let (mut sent, content) = (Vec::new(), frame(&[8, 0, 42]));
        let token = VlanTx { token: Buffer(&mut sent, true), vlan: vlan(0xabc) };
        token.consume(content.len(), |frame| frame.copy_from_slice(&content));
        assert_eq!(sent, frame(&[0x81, 0, 0x0a, 0xbc, 8, 0, 42]));
        let token = VlanTx { token: Buffer(&mut sent, true), vlan: None };
        token.consume(content.len(), |frame| frame.copy_from_slice(&content));
        assert_eq!(sent, content);
    }

    #[test]
    fn a_device_without_room_gets_nothing() {
        let mut sent = Vec::new();
        let token = VlanTx { token: Buffer(&mut sent, false), vlan: vlan(7) };
        assert_eq!(token.consume(60, |frame| frame.len()), 0);
        assert!(sent.is_empty());
    }
}
