//! A look at a controller that may be somebody else's: nothing of it changes.

use super::Nic;
use super::error::{AttachError, Step};
use super::link::decode_link;
use super::part::served;
use crate::hal::Hal;
use crate::intel::ids::Model;
use crate::intel::nvm;
use crate::intel::registers::{Mapping, STATUS, WINDOW};
use crate::link::Link;
use crate::pci::{self, ConfigSpace, PciAddress};

/// What a controller tells of itself without being taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Where it is.
    pub address: PciAddress,
    /// Which part it is.
    pub model: &'static Model,
    /// The MAC address that it receives for: its own, or the one that firmware gave it. `None` when
    /// it sleeps, or when only its EEPROM knows.
    pub mac: Option<[u8; 6]>,
    /// The state of the wire; down when it sleeps.
    pub link: Link,
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// Looks at the function at `address`: three reads of registers, no write, no reset. Where
    /// several controllers are, this tells which one to [`attach`](Self::attach).
    ///
    /// # Errors
    /// See [`AttachError`]: the function is not there, is not served, or does not answer.
    pub fn identify(hal: H, config: &C, address: PciAddress) -> Result<Identity, AttachError> {
        let model = served(config, address)?;
        let asleep = Identity { address, model, mac: None, link: Link::Down };
        if !pci::is_powered_on(config, address) {
            return Ok(asleep);
        }
        let bar = pci::memory_bar(config, address, 0)
            .map_err(|error| AttachError::Bar { address, error })?;
        let was_enabled = pci::is_memory_enabled(config, address);
        if !was_enabled {
            pci::enable_memory(config, address);
        }
        let identity = match Mapping::new(hal, bar.address, WINDOW) {
            None => Err(AttachError::Unmapped { address, bus_address: bar.address }),
            Some(registers) => match decode_link(registers.read(STATUS)) {
                Link::Gone => Err(AttachError::Gone { address, step: Step::Identify }),
                link => Ok(Identity { mac: nvm::loaded_address(&registers), link, ..asleep }),
            },
        };
        if !was_enabled {
            pci::disable_memory(config, address);
        }
        identity
    }
}
