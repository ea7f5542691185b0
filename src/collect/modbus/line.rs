//! Serial frames over a stream of bytes: a serial port, or a TCP connection to a serial server.
//!
//! # Invariants
//! - A request goes out only onto a line that is empty: what lies there is either the late answer to
//!   a request that was given up, and taken off, or makes the line unusable.
//! - An answer is taken only if it is from the unit, to the function, of the length, with the checksum,
//!   and the last of what came.
//! - A unit whose answer may still come is not asked (`late`).

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::answer::{Asked, counted, exception_of, without_padding};
use super::fault::RequestError;
use super::late::{Late, LateAnswers};
use super::rtu::{self, Expected, Found};
use crate::decode::RegisterBlock;
use crate::decode::snapshot::BlockReading;

/// Longest answer: unit, function, byte count, 255 bytes, checksum.
const FRAME_MAX: usize = 260;
/// A line that goes on talking for so long is not ours.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// What the wire asks for between frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineTiming {
    /// Silence before a request: 3.5 characters on a wire, none in a network.
    pub(super) silence: Duration,
    /// A wire on which nothing came for so long is quiet; none where a new connection is the remedy.
    pub(super) quiet: Option<Duration>,
}

impl LineTiming {
    /// Behind a TCP connection: the serial server keeps the silence, and a bad line is reopened.
    pub(super) const fn network() -> Self {
        Self {
            silence: Duration::ZERO,
            quiet: None,
        }
    }
}

/// A line that carries serial frames.
#[derive(Debug)]
pub(super) struct Line<S> {
    stream: S,
    buffer: BytesMut,
    timing: LineTiming,
    late: LateAnswers,
    late_max: Duration,
    /// Since when nothing came or went.
    quiet_since: Instant,
    /// Requests given up in a row with not a single byte in between.
    unheard: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(super) fn new(
        stream: S,
        timing: LineTiming,
        late: LateAnswers,
        late_max: Duration,
    ) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(2 * FRAME_MAX),
            timing,
            late,
            late_max,
            quiet_since: Instant::now(),
            unheard: 0,
        }
    }

    /// Reads one block.
    pub(super) async fn read(
        &mut self,
        unit: u8,
        block: RegisterBlock,
        deadline: Duration,
    ) -> Asked {
        let started_at = Instant::now();
        let Some(expected) = Expected::of(unit, block) else {
            return Asked {
                outcome: Err(RequestError::Count {
                    want: block.count,
                    have: 0,
                }),
                took: Duration::ZERO,
                is_usable: true,
            };
        };
        if let Err(error) = self.clear().await {
            // Nothing was asked yet, so nothing can come late.
            return Asked {
                outcome: Err(error),
                took: started_at.elapsed(),
                is_usable: false,
            };
        }
        let sent_at = Instant::now();
        let outcome = self.exchange(unit, block, expected, deadline).await;
        let took = sent_at.elapsed();
        let is_usable = match &outcome {
            Ok(_) | Err(RequestError::Exception { .. }) => {
                self.unheard = 0;
                true
            }
            Err(RequestError::Timeout { part, .. }) => {
                self.late
                    .add(expected, sent_at + self.late_max.max(deadline));
                self.unheard += 1;
                // Two units in a row unheard may be a connection that is dead without saying so.
                *part == 0 && (self.unheard < 2 || self.timing.quiet.is_some())
            }
            // It was answered, if badly: nothing more is to come.
            Err(RequestError::Count { .. }) => false,
            // The answer may still be on its way, for as long as it may take.
            Err(_) => {
                self.late.add(expected, sent_at + deadline);
                false
            }
        };
        let is_usable = is_usable || self.settle().await;
        Asked {
            outcome,
            took,
            is_usable,
        }
    }

    async fn exchange(
        &mut self,
        unit: u8,
        block: RegisterBlock,
        expected: Expected,
        deadline: Duration,
    ) -> Result<BlockReading, RequestError> {
        let until = Instant::now() + deadline;
        let send = async {
            self.stream.write_all(&rtu::request(unit, block)).await?;
            self.stream.flush().await
        };
        match timeout_at(until, send).await {
            Ok(sent) => sent.map_err(|error| broken(&error))?,
            Err(_) => return Err(self.timed_out(deadline)),
        }
        loop {
            match rtu::look(&self.buffer, expected) {
                Found::Data(data, len) => {
                    self.buffer.advance(len);
                    return reading(&data, block);
                }
                Found::Exception(code) => {
                    self.buffer.clear();
                    return Err(exception_of(code, block));
                }
                Found::Count(bytes) => {
                    return Err(RequestError::Count {
                        want: block.count,
                        have: usize::from(bytes) / 2,
                    });
                }
                Found::Checksum => return Err(RequestError::Checksum),
                Found::Followed => {
                    return Err(RequestError::Mismatch {
                        reason: "more bytes follow it, so that it may be a late one".to_owned(),
                    });
                }
                Found::Foreign {
                    unit: from,
                    function,
                } => match self.late.take(&self.buffer) {
                    Late::Whole(len) => {
                        self.buffer.advance(len);
                        self.unheard = 0;
                        continue;
                    }
                    Late::Part => {}
                    Late::No => {
                        return Err(RequestError::Mismatch {
                            reason: format!(
                                "unit {unit} was asked with function {}, unit {from} answered with function {function}; \
                                 check that no two meters on the line have one unit number",
                                block.function
                            ),
                        });
                    }
                },
                Found::Part => {}
            }
            match timeout_at(until, self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => {
                    return Err(RequestError::Transport {
                        reason: "closed by the gateway".to_owned(),
                    });
                }
                Ok(Ok(_)) => self.quiet_since = Instant::now(),
                Ok(Err(error)) => return Err(broken(&error)),
                Err(_) => return Err(self.timed_out(deadline)),
            }
            if self.buffer.len() > 2 * FRAME_MAX {
                return Err(RequestError::Transport {
                    reason: "more bytes than any answer has".to_owned(),
                });
            }
        }
    }

    fn timed_out(&self, deadline: Duration) -> RequestError {
        RequestError::Timeout {
            timeout_ms: deadline.as_millis(),
            part: self.buffer.len(),
        }
    }

    /// Takes late answers off the line, and tells whether it is empty then.
    async fn clear(&mut self) -> Result<(), RequestError> {
        let silent_at = self.quiet_since + self.timing.silence;
        sleep_until(silent_at).await;
        while self.arrived().await? {}
        loop {
            if self.buffer.is_empty() {
                return Ok(());
            }
            match self.late.take(&self.buffer) {
                Late::Whole(len) => {
                    self.buffer.advance(len);
                    self.unheard = 0;
                }
                Late::Part | Late::No if self.settle().await => return Ok(()),
                Late::Part | Late::No => {
                    return Err(RequestError::Transport {
                        reason: format!("{} bytes came that nobody asked for", self.buffer.len()),
                    });
                }
            }
        }
    }

    /// Whether bytes had arrived; they are in the buffer now. Does not wait.
    async fn arrived(&mut self) -> Result<bool, RequestError> {
        if self.buffer.len() > 2 * FRAME_MAX {
            return Ok(false);
        }
        match timeout(Duration::ZERO, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => Ok(false),
            Ok(Ok(0)) => Err(RequestError::Transport {
                reason: "closed by the gateway".to_owned(),
            }),
            Ok(Ok(_)) => {
                self.quiet_since = Instant::now();
                Ok(true)
            }
            Ok(Err(error)) => Err(broken(&error)),
        }
    }

    /// Reads a wire until it is quiet and forgets what came; false where only a new connection helps.
    async fn settle(&mut self) -> bool {
        let Some(quiet) = self.timing.quiet else {
            return false;
        };
        let give_up_at = Instant::now() + DRAIN_MAX;
        loop {
            self.buffer.clear();
            match timeout(quiet, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => {
                    self.quiet_since = Instant::now();
                    return true;
                }
                Ok(Ok(1..)) if Instant::now() < give_up_at => {}
                Ok(_) => return false,
            }
        }
    }
}

fn broken(error: &std::io::Error) -> RequestError {
    RequestError::Transport {
        reason: error.to_string(),
    }
}

fn reading(data: &[u8], block: RegisterBlock) -> Result<BlockReading, RequestError> {
    let registers = if block.function <= 2 {
        let bits = data
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1))
            .collect();
        without_padding(bits, block.count)
    } else {
        let (pairs, _) = data.as_chunks::<2>();
        pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
    };
    counted(registers, block)
}
