//! A connection to a gateway: one request at a time, each answered within its deadline or not.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_modbus::client::{Client as _, Context, tcp};
use tokio_modbus::slave::SlaveContext as _;
use tokio_modbus::{Error as ModbusError, Request, Response, Slave};

use crate::decode::RegisterBlock;
use crate::decode::snapshot::BlockReading;
use crate::domain::meter::Gateway;

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PollError {
    /// No answer in time.
    #[error("no answer within {timeout_ms} ms; check the unit number and the line")]
    Timeout {
        /// The deadline.
        timeout_ms: u128,
    },
    /// The connection broke, or brought bytes that are no Modbus.
    #[error("connection failed: {reason}")]
    Transport {
        /// What the system says.
        reason: String,
    },
    /// The answer belongs to another request.
    #[error("answer does not match the request: it is late or of another unit")]
    Mismatch,
    /// The device or gateway said no.
    #[error(
        "exception {code} ({name}) for registers {start} to {end} of function {function}; check profile and unit"
    )]
    Exception {
        /// Exception code.
        code: u8,
        /// Its name.
        name: String,
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
}

/// An open connection.
pub(super) struct Link {
    context: Context,
    has_served: bool,
}

impl Link {
    /// Connects within the deadline.
    pub(super) async fn open(gateway: &Gateway, deadline: Duration) -> Result<Self, String> {
        let connect = TcpStream::connect((gateway.host.as_str(), gateway.port));
        let stream = timeout(deadline, connect)
            .await
            .map_err(|_| format!("no connection within {} ms", deadline.as_millis()))?
            .map_err(|error| error.to_string())?;
        // Requests are a dozen bytes; waiting to fill a segment would only delay them.
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            context: tcp::attach(stream),
            has_served: false,
        })
    }

    /// Whether it has answered before.
    pub(super) fn has_served(&self) -> bool {
        self.has_served
    }

    /// Reads one block. After any error but an exception the link must be dropped.
    pub(super) async fn read(
        &mut self,
        unit: u8,
        block: RegisterBlock,
        deadline: Duration,
    ) -> Result<BlockReading, PollError> {
        let (start, count) = (block.start, block.count);
        let request = match block.function {
            1 => Request::ReadCoils(start, count),
            2 => Request::ReadDiscreteInputs(start, count),
            3 => Request::ReadHoldingRegisters(start, count),
            4 => Request::ReadInputRegisters(start, count),
            function => return Err(PollError::Function { function }),
        };
        self.context.set_slave(Slave(unit));
        let answer = timeout(deadline, self.context.call(request))
            .await
            .map_err(|_| PollError::Timeout {
                timeout_ms: deadline.as_millis(),
            })?;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(exception)) => {
                self.has_served = true;
                return Err(PollError::Exception {
                    code: exception.into(),
                    name: exception.to_string(),
                    function: block.function,
                    start,
                    end: u32::from(start) + u32::from(count) - 1,
                });
            }
            Err(ModbusError::Transport(error)) => {
                return Err(PollError::Transport {
                    reason: describe(&error),
                });
            }
            Err(ModbusError::Protocol(_)) => return Err(PollError::Mismatch),
        };
        let registers = match response {
            Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => words,
            // Coils come in whole bytes; the bits beyond the count are padding.
            Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits) => {
                if bits.len() == usize::from(count).next_multiple_of(8) {
                    bits.truncate(count.into());
                }
                bits.into_iter().map(u16::from).collect()
            }
            _ => return Err(PollError::Mismatch),
        };
        if registers.len() != usize::from(count) {
            return Err(PollError::Count {
                want: count,
                have: registers.len(),
            });
        }
        self.has_served = true;
        Ok(BlockReading {
            function: block.function,
            start,
            registers,
        })
    }
}

/// The crate reports a closed stream as the last system error, which is often none.
fn describe(error: &io::Error) -> String {
    if error.raw_os_error() == Some(0) {
        "closed by the gateway".to_owned()
    } else {
        error.to_string()
    }
}
