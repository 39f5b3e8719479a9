//! A VLAN's tag put on and taken off in the controller's own buffers.

use isboot_transport::device::{EthernetDevice, NicDevice};
use isboot_transport::vlan::{VlanDevice, VlanDrops, VlanId};
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::fake::{Behaviour, Machine};
use crate::{attached, frame, small};

fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat()
}

fn device(behaviour: Behaviour) -> (Machine, VlanDevice<NicDevice<Machine, Machine>>) {
    let (machine, nic) = attached(behaviour, small());
    (machine, VlanDevice::new(NicDevice::new(nic), VlanId::new(7)))
}

#[test]
fn tags_are_taken_off_where_the_frame_lies() {
    for behaviour in [Behaviour::default(), Behaviour::i82574()] {
        let (machine, mut device) = device(behaviour);
        // Three times around the ring, so that every buffer is used again.
        for number in 0..48 {
            assert!(machine.deliver(&tagged(&frame(number, 200))));
            let (receive, _) = device.receive(Instant::ZERO).unwrap();
            receive.consume(|bytes| {
                assert_eq!(bytes, frame(number, 200));
                assert!(machine.is_dma_memory(bytes.as_ptr()), "a copy");
            });
        }
        assert!(machine.deliver(&frame(48, 200)));
        let (receive, _) = device.receive(Instant::ZERO).unwrap();
        receive.consume(|bytes| assert!(bytes.is_empty(), "untagged"));
        assert_eq!(device.drops(), VlanDrops { untagged: 1, ..VlanDrops::default() });
    }
}

#[test]
fn tags_are_put_on_and_the_longest_frame_fits() {
    let (machine, mut device) = device(Behaviour::default());
    for (number, len) in [(0, 60), (1, 1514)] {
        let token = device.transmit(Instant::ZERO).unwrap();
        token.consume(len, |bytes| {
            assert!(machine.is_dma_memory(bytes.as_ptr()), "a copy");
            bytes.copy_from_slice(&frame(number, len));
        });
    }
    device.flush();
    assert_eq!(machine.state().sent, [tagged(&frame(0, 60)), tagged(&frame(1, 1514))]);
}
