//! Why a request failed, and what that means for the line and for the next attempt.

use std::time::Duration;

/// Exceptions of a gateway that asked the meter and heard nothing.
const GATEWAY_EXCEPTIONS: [u8; 2] = [0x0A, 0x0B];
/// "Acknowledge": the device works on it and wants to be asked later.
const ACKNOWLEDGE: u8 = 5;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The gateway or port could not be opened.
    #[error("cannot be reached: {reason}")]
    Connect {
        /// What the system says.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer within {timeout_ms} ms; check the unit number and the line")]
    Timeout {
        /// The deadline.
        timeout_ms: u128,
        /// Bytes of an answer that did not become whole.
        part: usize,
    },
    /// The connection broke, or brought bytes that are no Modbus.
    #[error("connection failed: {reason}")]
    Transport {
        /// What the system says.
        reason: String,
    },
    /// The answer belongs to another request.
    #[error("answer does not match the request: {reason}")]
    Mismatch {
        /// How it differs.
        reason: String,
    },
    /// The answer's checksum is wrong.
    #[error("answer has a wrong checksum; check baud rate, parity, and cabling of the line")]
    Checksum,
    /// The device or gateway said no.
    #[error(
        "exception {code} ({}) for registers {start} to {end} of function {function}; {}",
        exception_name(*code),
        exception_remedy(*code)
    )]
    Exception {
        /// Exception code.
        code: u8,
        /// Function asked for.
        function: u8,
        /// First register asked for.
        start: u16,
        /// Last register asked for.
        end: u32,
    },
    /// Fewer or more registers than asked for.
    #[error("answer has {have} registers, asked for {want}")]
    Count {
        /// Registers asked for.
        want: u16,
        /// Registers in the answer.
        have: usize,
    },
    /// The profile asks for what this poller never sends.
    #[error("function {function} is not one of 1 to 4, the reading ones")]
    Function {
        /// The function.
        function: u8,
    },
    /// The program is stopping.
    #[error("given up, since the program is stopping")]
    Stopped,
}

/// What a failure means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The gateway itself is out of reach; no fault of the meter.
    Reconnect,
    /// Asked again within the period, after this wait; doubled with each attempt.
    Again(Duration),
    /// Nothing was heard: again within the period if time is left, and after the neighbours.
    Quietly,
    /// Asking again would bring the same answer.
    NextPeriod,
}

impl RequestError {
    /// What to do next. `retry_exceptions` are the codes that mean "not now" to the meter's profile.
    pub(super) fn remedy(&self, retry_exceptions: &[u8]) -> Remedy {
        match self {
            Self::Connect { .. } | Self::Stopped => Remedy::Reconnect,
            Self::Timeout { .. } => Remedy::Quietly,
            Self::Exception { code, .. } if GATEWAY_EXCEPTIONS.contains(code) => Remedy::Quietly,
            Self::Exception { code, .. } if retry_exceptions.contains(code) => {
                Remedy::Again(Duration::from_millis(if *code == ACKNOWLEDGE {
                    400
                } else {
                    100
                }))
            }
            Self::Exception { .. } | Self::Function { .. } => Remedy::NextPeriod,
            Self::Transport { .. }
            | Self::Mismatch { .. }
            | Self::Checksum
            | Self::Count { .. } => Remedy::Again(Duration::from_millis(20)),
        }
    }
}

/// The name the standard gives an exception.
pub fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledge",
        6 => "device busy",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "no answer from the device behind the gateway",
        _ => "not in the standard",
    }
}

fn exception_remedy(code: u8) -> &'static str {
    match code {
        1 => "the device does not know this function: try 3 or 4 in the profile",
        2 => {
            "the device has not all of these registers: check them and address_base in the profile, and lower gap_max if the gaps are refused"
        }
        3 => "the device gives fewer registers at a time: lower registers_max in the profile",
        5 | 6 => "it is asked again; raise period_s if this goes on",
        10 | 11 => "check the unit number and the line behind the gateway",
        _ => "check profile and unit, and the device itself",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exception_has_its_own_way() {
        let remedy = |code| {
            let error = RequestError::Exception {
                code,
                function: 3,
                start: 0,
                end: 1,
            };
            error.remedy(&[5, 6])
        };
        assert_eq!(remedy(2), Remedy::NextPeriod);
        assert_eq!(remedy(4), Remedy::NextPeriod);
        assert_eq!(remedy(5), Remedy::Again(Duration::from_millis(400)));
        assert_eq!(remedy(6), Remedy::Again(Duration::from_millis(100)));
        assert_eq!(remedy(11), Remedy::Quietly);
    }
}
