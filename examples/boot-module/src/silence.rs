//! `demo.silence=yes`: how long the card hears nothing once it was started.
//!
//! QEMU's 8254x receives nothing for a second after RCTL was written, and its 82576 negotiates for
//! half of one. No stack gets below that, so it is measured with as little of one as there can be:
//! a question for the target's MAC address, again and again, and whatever comes first.

use core::net::IpAddr;
use core::time::Duration;

use isboot::boot::{BootPlan, Parameters};
use isboot_transport::hal::wait_until;
use isboot_transport::netstack::Addressing;

use crate::clock;
use crate::console::Event;
use crate::failure::{During, Failure};
use crate::machine::Machine;
use crate::nic;

/// No card is silent for longer.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two questions.
const AGAIN: Duration = Duration::from_millis(2);
/// The shortest frame, without its check sequence.
const FRAME: usize = 60;

/// Attaches the card, tells how long it was silent, and lets it go again.
pub(crate) fn tell(plan: &mut BootPlan, parameters: &Parameters) -> Result<(), Failure> {
    let (own, target) = match (plan.addressing, plan.portal.ip()) {
        (Addressing::Static { address: IpAddr::V4(own), .. }, IpAddr::V4(target)) => (own, target),
        _ => return Err(Failure::new("address", "demo.silence asks by ARP: there is no IPv4")),
    };
    let mut nic = nic::attach(plan, parameters)?;
    let began = clock::now();
    let question = question(nic.mac(), own.octets(), target.octets());
    let mut ask_at = began;
    let heard = wait_until(&Machine, LIMIT, || {
        let now = clock::now();
        let (receiver, mut transmitter) = nic.split();
        if now >= ask_at {
            ask_at = now + AGAIN;
            if transmitter.has_room() {
                transmitter.send(FRAME, |room| room.copy_from_slice(&question));
                transmitter.flush();
            }
        }
        receiver.receive().is_some()
    });
    let took = clock::now() - began;
    nic.detach().during("detach")?;
    if !heard {
        let text = format_args!("nobody has {target}, for {} s", LIMIT.as_secs());
        return Err(Failure::new("address", text));
    }
    Event::new("silence").field("took_us", took.as_micros());
    Ok(())
}

/// Who has `target`? (RFC 826)
fn question(mac: [u8; 6], own: [u8; 4], target: [u8; 4]) -> [u8; FRAME] {
    const BROADCAST: [u8; 6] = [0xff; 6];
    /// ARP; Ethernet and IPv4, with addresses of 6 and 4 bytes; a request.
    const KIND: [u8; 10] = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let mut frame = [0; FRAME];
    let parts: [&[u8]; 7] = [&BROADCAST, &mac, &KIND, &mac, &own, &[0; 6], &target];
    for (byte, value) in frame.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *value;
    }
    frame
}
