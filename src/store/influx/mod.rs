//! InfluxDB 2, and what speaks its write API and InfluxQL (openGemini): a second store that is told
//! everything, and asked for what the journal no longer holds.
//!
//! Writing goes through crate `influxdb2`; buckets and InfluxQL, which it does not have, through our own
//! HTTP client (ADR 0014). Nothing in here retries: the forwarder in `run` does.

mod buckets;
mod client;
mod health;
pub mod line;
mod probe;
mod reader;
mod send;

pub use self::buckets::Bucket;
pub use self::client::{Influx, InfluxError, Ping};
pub use self::health::{CLOCK_TOLERANCE_S, InfluxHealth, InfluxState, clock_text};
pub use self::send::{Outcome, send};
