//! A line to a gateway: one request at a time, each answered within its deadline or not.
//!
//! # Invariant
//! After [`Asked::is_usable`] is false the link must be dropped: bytes of an answer nobody waits for
//! may be on it.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_modbus::client::{Client as _, Context, tcp};
use tokio_modbus::slave::SlaveContext as _;
use tokio_modbus::{Error as ModbusError, Request, Response, Slave};
use tokio_serial::SerialStream;

use super::answer::{Asked, counted, exception_of, without_padding};
use super::fault::RequestError;
use super::late::LateAnswers;
use super::line::{Line, LineTiming};
use super::serial;
use crate::decode::RegisterBlock;
use crate::decode::snapshot::BlockReading;
use crate::domain::meter::{Gateway, GatewayTransport};

/// An open line.
pub(super) enum Link {
    /// Modbus TCP.
    Tcp(Box<Context>),
    /// Serial frames through a TCP connection.
    RtuOverTcp(Line<TcpStream>),
    /// A serial port.
    Serial(Line<SerialStream>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Link::Tcp",
            Self::RtuOverTcp(_) => "Link::RtuOverTcp",
            Self::Serial(_) => "Link::Serial",
        })
    }
}

impl Link {
    /// Opens the line within the deadline.
    pub(super) async fn open(
        gateway: &Gateway,
        deadline: Duration,
        late: &LateAnswers,
        late_max: Duration,
    ) -> Result<Self, RequestError> {
        if gateway.transport == GatewayTransport::Serial {
            let (port, timing) = serial::open(gateway)?;
            let line = Line::new(port, timing, late.clone(), late_max);
            return Ok(Self::Serial(line));
        }
        let connect = TcpStream::connect((gateway.host.as_str(), gateway.port));
        let stream = timeout(deadline, connect)
            .await
            .map_err(|_| format!("no connection within {} ms", deadline.as_millis()))
            .and_then(|connected| connected.map_err(|error| error.to_string()))
            .map_err(|reason| RequestError::Connect { reason })?;
        // Requests are a dozen bytes; waiting to fill a segment would only delay them.
        stream
            .set_nodelay(true)
            .map_err(|error| RequestError::Connect {
                reason: error.to_string(),
            })?;
        Ok(match gateway.transport {
            GatewayTransport::RtuOverTcp => Self::RtuOverTcp(Line::new(
                stream,
                LineTiming::network(),
                late.clone(),
                late_max,
            )),
            GatewayTransport::Tcp | GatewayTransport::Serial => {
                Self::Tcp(Box::new(tcp::attach(stream)))
            }
        })
    }

    /// Reads one block.
    pub(super) async fn read(
        &mut self,
        unit: u8,
        block: RegisterBlock,
        deadline: Duration,
    ) -> Asked {
        if !(1..=4).contains(&block.function) {
            return Asked {
                outcome: Err(RequestError::Function {
                    function: block.function,
                }),
                took: Duration::ZERO,
                is_usable: true,
            };
        }
        match self {
            Self::Tcp(context) => read_tcp(context, unit, block, deadline).await,
            Self::RtuOverTcp(line) => line.read(unit, block, deadline).await,
            Self::Serial(line) => line.read(unit, block, deadline).await,
        }
    }
}

async fn read_tcp(
    context: &mut Context,
    unit: u8,
    block: RegisterBlock,
    deadline: Duration,
) -> Asked {
    let (start, count) = (block.start, block.count);
    let request = match block.function {
        1 => Request::ReadCoils(start, count),
        2 => Request::ReadDiscreteInputs(start, count),
        3 => Request::ReadHoldingRegisters(start, count),
        _ => Request::ReadInputRegisters(start, count),
    };
    context.set_slave(Slave(unit));
    let sent_at = Instant::now();
    let answer = timeout(deadline, context.call(request)).await;
    let took = sent_at.elapsed();
    let outcome = match answer {
        Err(_) => Err(RequestError::Timeout {
            timeout_ms: deadline.as_millis(),
            part: 0,
        }),
        Ok(Ok(Ok(response))) => registers(response, block),
        Ok(Ok(Err(exception))) => Err(exception_of(exception.into(), block)),
        Ok(Err(ModbusError::Transport(error))) => Err(RequestError::Transport {
            reason: describe(&error),
        }),
        // The crate compares transaction, unit and function with those of the request.
        Ok(Err(ModbusError::Protocol(_))) => Err(RequestError::Mismatch {
            reason: "it is late or of another unit".to_owned(),
        }),
    };
    let is_usable = matches!(outcome, Ok(_) | Err(RequestError::Exception { .. }));
    Asked {
        outcome,
        took,
        is_usable,
    }
}

fn registers(response: Response, block: RegisterBlock) -> Result<BlockReading, RequestError> {
    let registers = match response {
        Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => words,
        Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) => {
            without_padding(bits, block.count)
        }
        _ => {
            return Err(RequestError::Mismatch {
                reason: "it is to another function".to_owned(),
            });
        }
    };
    counted(registers, block)
}

/// The crate reports a closed stream as the last system error, which is often none.
fn describe(error: &io::Error) -> String {
    if error.raw_os_error() == Some(0) {
        "closed by the gateway".to_owned()
    } else {
        error.to_string()
    }
}
