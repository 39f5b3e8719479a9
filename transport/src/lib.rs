//! Intel Ethernet driver, smoltcp network stack and byte streams for an iSCSI initiator.
//!
//! A hosting kernel that has nothing yet supplies a [`Hal`](hal::Hal) (memory for DMA, register
//! mappings, time) and access to [PCI configuration space](pci::ConfigSpace), and builds upwards:
//!
//! ```text
//! intel::nic::Nic       a controller taken over from firmware: frames in place, polled
//! device::NicDevice     … under smoltcp
//! vlan::VlanDevice      … as one VLAN of it
//! netstack::NetStack    … with an address: static IPv4 or IPv6, or DHCP
//! tcp::TcpStream        … and one TCP connection: a stream::ByteStream
//! ```
//!
//! A hosting kernel with sockets of its own implements [`ByteStream`](stream::ByteStream) over
//! them and needs nothing else of this crate; feature `std` has it over `std`'s sockets.
//! [`crc32c::fastest`] finds the fastest way to compute digests.
//!
//! Nothing allocates after start, blocks, or waits without a bound. Everything is polled, so it
//! works with interrupts off.
//!
//! ```
//! use core::{net::SocketAddr, time::Duration};
//! use isboot_transport::device::NicDevice;
//! use isboot_transport::hal::Hal;
//! use isboot_transport::intel::nic::{Nic, Options};
//! use isboot_transport::netstack::{AddressState, Addressing, Configuration, NetStack, Sockets};
//! use isboot_transport::pci::{ConfigSpace, ethernet_functions};
//! use isboot_transport::stream::{ByteStream, StreamState};
//! use isboot_transport::tcp::{TcpOptions, TcpStream};
//!
//! /// Buffers live as long as the kernel wants the connection.
//! fn first_bytes<'a, H: Hal + Clone, C: ConfigSpace>(
//!     (hal, config): (H, C),
//!     sockets: &'a mut Sockets<'a>,
//!     (receive, transmit): (&'a mut [u8], &'a mut [u8]),
//!     (portal, random_seed): (SocketAddr, u64),
//! ) -> Result<u8, &'static str> {
//!     let function = ethernet_functions(&config).next().ok_or("no Ethernet controller")?;
//!     let nic = Nic::attach(hal.clone(), config, function.address, &Options::default())
//!         .map_err(|_| "the controller cannot be taken over")?;
//!     let (mac, addressing) = (nic.mac(), Addressing::Dhcp);
//!     let configuration = Configuration::new(mac, addressing, random_seed);
//!     let stack = NetStack::new(NicDevice::new(nic), sockets, &configuration, hal.now())
//!         .map_err(|_| "odd configuration")?;
//!     let mut stream = TcpStream::new(stack, receive, transmit, TcpOptions::default())
//!         .map_err(|_| "the window does not fit the receive ring")?;
//!     let patience = hal.now() + Duration::from_secs(10);
//!     while stream.stack().address_state() == AddressState::Pending && hal.now() < patience {
//!         stream.poll(hal.now());
//!     }
//!     stream.connect(hal.now(), portal).map_err(|_| "no address, no route or no link")?;
//!     let first = loop {
//!         stream.poll(hal.now());
//!         if let Some(first) = stream.recv(|bytes| (bytes.len(), bytes[0])) {
//!             break first;
//!         }
//!         if let StreamState::Failed(_) | StreamState::PeerClosed = stream.state() {
//!             return Err("the connection ended");
//!         }
//!     };
//!     stream.into_device().into_nic().detach().map_err(|_| "the controller did not stop")?;
//!     Ok(first)
//! }
//! ```
#![no_std]
#![deny(missing_docs)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unreachable,
    clippy::todo
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "tests compute on their own numbers")
)]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod bypass;
pub mod checksum;
mod congestion;
pub mod crc32c;
pub mod device;
pub mod entropy;
pub mod hal;
pub mod intel;
pub mod link;
mod loss_recovery;
pub mod netstack;
pub mod pci;
mod reset_guard;
mod run;
mod segment;
pub mod segmentation;
#[cfg(feature = "std")]
pub mod std_tcp;
pub mod stream;
pub mod tcp;
pub mod vlan;
mod watch;
