//! Serial ports of this machine.

use std::time::Duration;

use tokio_serial::{DataBits, SerialPortBuilderExt as _, SerialStream, StopBits};

use super::fault::RequestError;
use super::line::LineTiming;
use crate::domain::meter::{Gateway, Parity};

/// Above 19200 bit/s the standard fixes the silence between frames.
const SILENCE_FAST: Duration = Duration::from_micros(1_750);
const BAUD_FAST: u32 = 19_200;
/// Bits of a character: start, eight of data, parity or second stop bit, stop.
const CHARACTER_BITS: f64 = 11.0;
/// Characters of silence between two frames.
const SILENCE_CHARACTERS: f64 = 3.5;
/// A USB adapter holds bytes back for up to 16 ms: only a longer silence is one of the line.
const QUIET_MIN: Duration = Duration::from_millis(40);

/// Silence between two frames at a baud rate.
pub(super) fn silence(baud: u32) -> Duration {
    if baud > BAUD_FAST {
        SILENCE_FAST
    } else {
        Duration::from_secs_f64(SILENCE_CHARACTERS * CHARACTER_BITS / f64::from(baud.max(1)))
    }
}

/// Opens a port for this program alone.
pub(super) fn open(gateway: &Gateway) -> Result<(SerialStream, LineTiming), RequestError> {
    let parity = match gateway.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = if gateway.stop_bits == 2 {
        StopBits::Two
    } else {
        StopBits::One
    };
    let port = tokio_serial::new(gateway.path.as_str(), gateway.baud)
        .data_bits(DataBits::Eight)
        .parity(parity)
        .stop_bits(stop_bits)
        .open_native_async()
        .map_err(|error| RequestError::Connect {
            reason: format!(
                "{error}; check that the port is there, that this user may open it, and that no other \
                 program (a running daemon) has it open"
            ),
        })?;
    let silence = silence(gateway.baud);
    let timing = LineTiming {
        silence,
        quiet: Some(silence.max(QUIET_MIN)),
    };
    Ok((port, timing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_is_three_and_a_half_characters_or_fixed() {
        assert_eq!(silence(9_600).as_micros(), 4_010);
        assert_eq!(silence(19_200).as_micros(), 2_005);
        assert_eq!(silence(115_200), SILENCE_FAST);
    }
}
