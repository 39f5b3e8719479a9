//! The first serial port (COM1, a 16550): 115200 baud, eight bits, no parity, one stop bit.

use core::fmt;

use crate::port::Port;

/// Bytes that fit in the transmit FIFO once it is empty.
const FIFO: usize = 16;

/// Looks at the line status before giving up on a port that never gets empty.
const PATIENCE: u32 = 100_000;

/// Sets the port up. Harmless to repeat.
pub(crate) fn start() {
    INTERRUPT_ENABLE.write_u8(0);
    LINE_CONTROL.write_u8(0x80); // the divisor is visible
    DATA.write_u8(1); // 115200 baud
    INTERRUPT_ENABLE.write_u8(0);
    LINE_CONTROL.write_u8(0x03); // 8N1
    FIFO_CONTROL.write_u8(0xc7); // on, cleared
    MODEM_CONTROL.write_u8(0x03); // DTR, RTS
}

/// Writes text, each line end as CR LF.
pub(crate) struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut free = 0;
        let mut put = |byte| {
            if free == 0 {
                wait_until_empty();
                free = FIFO;
            }
            DATA.write_u8(byte);
            free -= 1;
        };
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}

/// A byte that came, if any. Without one this is one look at the port, which holds back more until
/// there is room.
pub(crate) fn take() -> Option<u8> {
    (LINE_STATUS.read_u8() & 0x01 != 0).then(|| DATA.read_u8())
}

fn wait_until_empty() {
    for _ in 0..PATIENCE {
        if LINE_STATUS.read_u8() & 0x20 != 0 {
            return;
        }
    }
}

// SAFETY: COM1 reaches no memory.
const DATA: Port = unsafe { Port::new(0x3f8) };
// SAFETY: as above.
const INTERRUPT_ENABLE: Port = unsafe { Port::new(0x3f9) };
// SAFETY: as above.
const FIFO_CONTROL: Port = unsafe { Port::new(0x3fa) };
// SAFETY: as above.
const LINE_CONTROL: Port = unsafe { Port::new(0x3fb) };
// SAFETY: as above.
const MODEM_CONTROL: Port = unsafe { Port::new(0x3fc) };
// SAFETY: as above.
const LINE_STATUS: Port = unsafe { Port::new(0x3fd) };
