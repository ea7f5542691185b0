//! Publishes a bounded load of meter readings at `QoS` 1, as fast as the broker takes it.
//!
//! `scripts/bench-collect` measures collectors with it. It speaks MQTT 3.1.1 from packets laid out
//! once for each meter, so that it costs little beside the broker and the collector it loads, and it
//! tells its own processor time. Each publisher has meters of its own and a window of unacknowledged
//! messages; a message counts as published when the broker has acknowledged it.
//!
//! The `n`-th reading of a meter has `seq` `n` and is stamped `n` periods after `--from`, so that
//! (meter, instant) and (meter, seq) name the same reading.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints what it did"
)]

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Parser, ValueEnum};

/// A broker that says nothing for so long is gone.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 64 * 1024;

/// What a message looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The JSON push, 210 bytes, on `gas/bench/gw/<device>/up/reading`.
    Json,
    /// collectd's own `time:value` on `collectd/<device>/gas/gauge-seq`; it takes no other.
    Collectd,
}

/// A bounded load of meter readings at `QoS` 1.
#[derive(Debug, Clone, Parser)]
struct Load {
    /// Port of the broker on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Messages of all publishers together.
    #[arg(long)]
    messages: usize,
    /// Connections, each with meters of its own.
    #[arg(long, default_value_t = 4)]
    publishers: usize,
    /// Meters, `D0` to `D<n-1>`.
    #[arg(long, default_value_t = 5_000)]
    meters: usize,
    /// Unacknowledged messages of a publisher at most.
    #[arg(long, default_value_t = 500)]
    window: usize,
    /// Instant of the first reading, RFC 3339.
    #[arg(long)]
    from: DateTime<Utc>,
    /// Seconds between readings of a meter.
    #[arg(long, default_value_t = 60)]
    period_s: i64,
    /// What a message looks like.
    #[arg(long, value_enum, default_value_t = Form::Json)]
    form: Form,
}

impl Load {
    /// Messages of one publisher: its meters in turn, then their next reading.
    fn share(&self, publisher: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (meters, publishers, messages) = (self.meters, self.publishers, self.messages);
        (0..)
            .flat_map(move |seq| {
                (publisher..meters)
                    .step_by(publishers)
                    .map(move |meter| (meter, seq))
            })
            .take_while(move |(meter, seq)| seq * meters + meter < messages)
    }

    fn topic_and_payload(&self, meter: usize, seq: usize) -> (String, String) {
        let after_s = i64::try_from(seq)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.period_s);
        let at = self.from + TimeDelta::seconds(after_s);
        match self.form {
            Form::Json => (
                format!("gas/bench/gw/D{meter}/up/reading"),
                json(meter, seq, at),
            ),
            Form::Collectd => (
                format!("collectd/D{meter}/gas/gauge-seq"),
                format!("{}:{seq}\0", at.timestamp()),
            ),
        }
    }
}

/// A reading of the vendor-neutral push, padded with a field of its own to 210 bytes.
fn json(meter: usize, seq: usize, at: DateTime<Utc>) -> String {
    const LEN: usize = 210;
    let total = 1_180_213 + seq * 3 + meter;
    let body = format!(
        r#"{{"v":1,"dev":"D{meter}","seq":{seq},"ts":"{}","work_m3":"{total}.42","std_m3":"{}.1116","q_work":312.5,"q_std":948.1,"t_c":15.0,"p_kpa_abs":301.325,"batt_v":3.58,"rsrp":-97,"alarms":[]"#,
        at.to_rfc3339_opts(SecondsFormat::Secs, true),
        total * 3,
    );
    let pad = LEN.saturating_sub(body.len() + r#","x":""}"#.len());
    format!(r#"{body},"x":"{}"}}"#, "0".repeat(pad))
}

/// A PUBLISH packet without its id, and where the id goes.
fn publish(topic: &str, payload: &str, id: u16, out: &mut Vec<u8>) {
    let mut rest = 2 + topic.len() + 2 + payload.len();
    out.push(0x32);
    loop {
        let low = rest.to_le_bytes()[0] & 0x7f;
        rest >>= 7;
        out.push(if rest == 0 { low } else { low | 0x80 });
        if rest == 0 {
            break;
        }
    }
    let topic_len = u16::try_from(topic.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&topic_len.to_be_bytes());
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload.as_bytes());
}

fn connect(port: u16, publisher: usize) -> Result<TcpStream, Box<dyn Error + Send + Sync>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let id = format!("bench-publisher-{publisher}");
    let mut packet = vec![0x10, u8::try_from(12 + id.len())?];
    // Protocol MQTT 3.1.1, clean session, no keep-alive.
    packet.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0]);
    packet.extend_from_slice(&u16::try_from(id.len())?.to_be_bytes());
    packet.extend_from_slice(id.as_bytes());
    stream.write_all(&packet)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer != [0x20, 2, 0, 0] {
        return Err(format!("the broker answered CONNECT with {answer:?}").into());
    }
    Ok(stream)
}

/// Publishes one share and gives how many messages the broker acknowledged.
fn run(load: &Load, publisher: usize) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let mut stream = connect(load.port, publisher)?;
    let mut share = load.share(publisher);
    let mut out = Vec::with_capacity(WRITE_BYTES + 1_024);
    let mut waiting = VecDeque::with_capacity(load.window);
    let (mut id, mut acknowledged) = (0_u16, 0_usize);
    let mut input = [0; 16 * 1_024];
    let mut held = 0;
    loop {
        while waiting.len() < load.window && out.len() < WRITE_BYTES {
            let Some((meter, seq)) = share.next() else {
                break;
            };
            id = if id == u16::MAX { 1 } else { id + 1 };
            let (topic, payload) = load.topic_and_payload(meter, seq);
            publish(&topic, &payload, id, &mut out);
            waiting.push_back(id);
        }
        if !out.is_empty() {
            stream.write_all(&out)?;
            out.clear();
        }
        if waiting.is_empty() {
            break;
        }
        let read = stream.read(&mut input[held..])?;
        if read == 0 {
            return Err("the broker closed the connection".into());
        }
        held += read;
        let whole = held - held % 4;
        for ack in input[..whole].chunks_exact(4) {
            let acked = u16::from_be_bytes([ack[2], ack[3]]);
            if ack[0] != 0x40 || waiting.pop_front() != Some(acked) {
                return Err(format!("unexpected packet {ack:?} from the broker").into());
            }
            acknowledged += 1;
        }
        input.copy_within(whole..held, 0);
        held -= whole;
    }
    stream.write_all(&[0xe0, 0])?;
    Ok(acknowledged)
}

/// User and system time of this process, s; the system counts in hundredths.
fn cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

fn main() -> ExitCode {
    let load = Load::parse();
    let began = Instant::now();
    let publishers: Vec<_> = (0..load.publishers)
        .map(|publisher| {
            let load = load.clone();
            thread::spawn(move || run(&load, publisher))
        })
        .collect();
    let mut acknowledged = 0;
    for publisher in publishers {
        match publisher.join() {
            Ok(Ok(count)) => acknowledged += count,
            Ok(Err(error)) => {
                eprintln!("publish_load: {error}");
                return ExitCode::FAILURE;
            }
            Err(_) => return ExitCode::FAILURE,
        }
    }
    println!(
        r#"{{"acknowledged":{acknowledged},"wall_s":{:.3},"cpu_s":{:.2}}}"#,
        began.elapsed().as_secs_f64(),
        cpu_s().unwrap_or(f64::NAN),
    );
    if acknowledged == load.messages {
        ExitCode::SUCCESS
    } else {
        eprintln!(
            "publish_load: the broker acknowledged {acknowledged} of {} messages",
            load.messages
        );
        ExitCode::FAILURE
    }
}
