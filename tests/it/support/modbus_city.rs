//! A city of Modbus gateways with faults: real sockets, one bus behind each, every meter with values
//! unlike any other's, so that an answer taken for another's shows in the value.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use qiliang::registry::columns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::site::Site;

/// First registers of the two blocks; far apart, so that each needs a request of its own.
const BLOCKS: [u16; 2] = [100, 5_000];
/// What a wrong answer holds; no meter has it.
const POISON: u16 = 0xDEAD;

/// What a unit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UnitClass {
    Healthy,
    /// Exception 6 to every second request.
    Busy,
    /// One register too few in every third answer.
    Short,
    /// Every third answer under its neighbour's number.
    WrongId,
    /// Answers after this city's slow time.
    Slow,
    /// Never answers.
    Silent,
}

/// What a gateway does to all its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GatewayClass {
    Sound,
    /// Accepts and never answers.
    Mute,
    /// Closes every connection this often.
    Drops(Duration),
}

/// How the city is made.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) gateways: Vec<(GatewayClass, Framing)>,
    pub(crate) units: u8,
    pub(crate) request: Duration,
    pub(crate) slow: Duration,
    pub(crate) period_s: u32,
}

/// How frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Tcp,
    /// Through a transparent serial server: what comes from the line goes to whoever is connected.
    Rtu,
}

impl Plan {
    /// The class of a unit: the faulty ones lie between healthy ones.
    pub(crate) fn class(&self, unit: u8) -> UnitClass {
        let place = |n: u8| self.units * n / 6;
        match unit {
            u if u == place(1) => UnitClass::Silent,
            u if u == place(2) => UnitClass::Slow,
            u if u == place(3) => UnitClass::Short,
            u if u == place(4) => UnitClass::WrongId,
            u if u == place(5) => UnitClass::Busy,
            _ => UnitClass::Healthy,
        }
    }
}

/// The total that a block of a unit holds.
pub(crate) fn total(gateway: usize, unit: u8, block: usize) -> u32 {
    let unit = u32::try_from(gateway).unwrap() * 1_000 + u32::from(unit);
    unit * 1_000 + 100 + u32::try_from(block).unwrap()
}

/// A running city.
#[derive(Debug)]
pub(crate) struct City {
    pub(crate) plan: Plan,
    pub(crate) addresses: Vec<SocketAddr>,
    // Ends with the city.
    _runtime: tokio::runtime::Runtime,
}

struct Bus {
    number: usize,
    class: GatewayClass,
    plan: Plan,
    /// One request at a time is on the line.
    line: Mutex<()>,
    asked: Vec<AtomicU32>,
    /// A serial server knows one partner: the last that connected.
    partner: Mutex<Option<OwnedWriteHalf>>,
}

impl City {
    /// Opens every gateway on a free port.
    pub(crate) fn start(plan: Plan) -> Self {
        Self::start_at(plan, None)
    }

    /// Opens every gateway where one was before.
    pub(crate) fn start_at(plan: Plan, at: Option<&[SocketAddr]>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut addresses = Vec::new();
        for (number, (class, framing)) in plan.gateways.iter().copied().enumerate() {
            let address = at.map_or_else(|| "127.0.0.1:0".parse().unwrap(), |at| at[number]);
            let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
            addresses.push(listener.local_addr().unwrap());
            let bus = Arc::new(Bus {
                number,
                class,
                plan: plan.clone(),
                line: Mutex::new(()),
                asked: (0..=255).map(|_| AtomicU32::new(0)).collect(),
                partner: Mutex::new(None),
            });
            runtime.spawn(accept(listener, bus, framing));
        }
        Self {
            plan,
            addresses,
            _runtime: runtime,
        }
    }

    /// A site whose registry and profile are those of the city.
    pub(crate) fn site(&self) -> Site {
        let site = Site::new(1);
        let mut gateways = format!("{},transport\n", columns::GATEWAYS.join(","));
        let mut meters = format!("{}\n", columns::METERS.join(","));
        for (number, address) in self.addresses.iter().enumerate() {
            let transport = match self.plan.gateways[number].1 {
                Framing::Tcp => "tcp",
                Framing::Rtu => "rtu_over_tcp",
            };
            writeln!(
                gateways,
                "G{number},127.0.0.1,{},{transport}",
                address.port()
            )
            .unwrap();
            for unit in 1..=self.plan.units {
                writeln!(
                    meters,
                    "{},{0},K0,north,customer,turbine,city/two-blocks,std,9,400,1,{},G{number},{unit},2020-01-01",
                    meter(number, unit),
                    self.plan.period_s
                )
                .unwrap();
            }
        }
        site.registry_file("gateways.csv", &gateways);
        site.registry_file("meters.csv", &meters);
        let profiles = site.path().join("profiles/city");
        std::fs::create_dir_all(&profiles).unwrap();
        std::fs::write(profiles.join("two-blocks.toml"), PROFILE).unwrap();
        site
    }

    /// Every meter with its gateway and class.
    pub(crate) fn meters(&self) -> Vec<(usize, u8, UnitClass)> {
        (0..self.addresses.len())
            .flat_map(|gateway| {
                (1..=self.plan.units).map(move |unit| (gateway, unit, self.plan.class(unit)))
            })
            .collect()
    }
}

/// Name of a meter.
pub(crate) fn meter(gateway: usize, unit: u8) -> String {
    format!("M-{gateway}-{unit}")
}

const PROFILE: &str = r#"
id = "city/two-blocks"
verified = false
description = "two far blocks"
transport = "modbus"
codec = "modbus"
[modbus]
[[field]]
name = "total_std"
unit = "m3"
register = 100
type = "u32"
[[field]]
name = "total_work"
unit = "m3"
register = 5000
type = "u32"
[[test]]
name = "both"
hex = "03 0064 0002 0000 0007 03 1388 0002 0000 0008"
sampled_at = "1970-01-01T00:00:00Z"
items = { total_std_m3 = "7", total_work_m3 = "8" }
"#;

async fn accept(listener: TcpListener, bus: Arc<Bus>, framing: Framing) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        stream.set_nodelay(true).ok();
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            let lifetime = match bus.class {
                GatewayClass::Drops(every) => every,
                GatewayClass::Sound | GatewayClass::Mute => Duration::from_hours(1),
            };
            let served = async {
                match framing {
                    Framing::Tcp => serve_tcp(stream, &bus).await,
                    Framing::Rtu => serve_rtu(stream, &bus).await,
                }
            };
            tokio::time::timeout(lifetime, served).await.ok();
        });
    }
}

async fn serve_tcp(mut stream: TcpStream, bus: &Bus) {
    let mut request = [0_u8; 12];
    while stream.read_exact(&mut request).await.is_ok() {
        let asked: [u8; 6] = request[6..].try_into().unwrap();
        let Some((unit, pdu)) = bus.answer(asked).await else {
            continue;
        };
        let mut frame = request[..4].to_vec();
        frame.extend_from_slice(&u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
        frame.push(unit);
        frame.extend_from_slice(&pdu);
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn serve_rtu(stream: TcpStream, bus: &Bus) {
    let (mut reader, writer) = stream.into_split();
    *bus.partner.lock().await = Some(writer);
    let mut request = [0_u8; 8];
    while reader.read_exact(&mut request).await.is_ok() {
        let asked: [u8; 6] = request[..6].try_into().unwrap();
        if crc16(&asked).to_le_bytes() != request[6..] {
            continue;
        }
        let Some((unit, pdu)) = bus.answer(asked).await else {
            continue;
        };
        let mut frame = vec![unit];
        frame.extend_from_slice(&pdu);
        frame.extend_from_slice(&crc16(&frame).to_le_bytes());
        if let Some(partner) = bus.partner.lock().await.as_mut() {
            partner.write_all(&frame).await.ok();
        }
    }
}

impl Bus {
    /// The unit and PDU of the answer to unit, function, start and count; none for silence.
    async fn answer(&self, asked: [u8; 6]) -> Option<(u8, Vec<u8>)> {
        let [unit, function, s1, s0, c1, c0] = asked;
        let (start, count) = (u16::from_be_bytes([s1, s0]), u16::from_be_bytes([c1, c0]));
        if self.class == GatewayClass::Mute {
            return None;
        }
        let line = self.line.lock().await;
        let class = self.plan.class(unit);
        tokio::time::sleep(match class {
            UnitClass::Slow => self.plan.slow,
            _ => self.plan.request,
        })
        .await;
        drop(line);
        let time = self.asked[usize::from(unit)].fetch_add(1, Ordering::SeqCst) + 1;
        let block = BLOCKS.iter().position(|first| *first == start);
        let Some(block) = block.filter(|_| function == 3 && count == 2) else {
            return Some((unit, vec![function | 0x80, 2]));
        };
        let own = total(self.number, unit, block);
        let [a, b, c, d] = own.to_be_bytes();
        let [p1, p0] = POISON.to_be_bytes();
        match class {
            UnitClass::Silent => None,
            UnitClass::Busy if time % 2 == 1 => Some((unit, vec![function | 0x80, 6])),
            UnitClass::Short if time.is_multiple_of(3) => Some((unit, vec![function, 2, p1, p0])),
            UnitClass::WrongId if time.is_multiple_of(3) => {
                Some((unit + 1, vec![function, 4, p1, p0, p1, p0]))
            }
            _ => Some((unit, vec![function, 4, a, b, c, d])),
        }
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xA001
            } else {
                crc >> 1
            };
        }
    }
    crc
}

/// One reading that a collector kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) gateway: usize,
    pub(crate) unit: u8,
    pub(crate) at_ms: i64,
    pub(crate) totals: [Option<u64>; 2],
}

/// How a class of meters fared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Score {
    pub(crate) meters: usize,
    pub(crate) readings: usize,
    /// Periods without a reading.
    pub(crate) missed: usize,
    pub(crate) gap_max_ms: i64,
    /// Gateway and unit that had the longest gap, and when it ended, Unix ms.
    pub(crate) gap_of: (usize, u8, i64),
    pub(crate) wrong: usize,
}

impl Score {
    /// Part of the periods with a reading, %.
    pub(crate) fn success(&self) -> f64 {
        100.0 * self.readings as f64 / (self.readings + self.missed).max(1) as f64
    }

    fn note_gap(&mut self, gap_ms: i64, of: (usize, u8, i64)) {
        if gap_ms > self.gap_max_ms {
            self.gap_max_ms = gap_ms;
            self.gap_of = of;
        }
    }
}

/// Scores by class, for the time from `from_ms` to `to_ms`.
pub(crate) fn score(
    city: &City,
    samples: &[Sample],
    from_ms: i64,
    to_ms: i64,
) -> BTreeMap<&'static str, Score> {
    let period_ms = i64::from(city.plan.period_s) * 1_000;
    let mut scores: BTreeMap<&'static str, Score> = BTreeMap::new();
    for (gateway, unit, class) in city.meters() {
        let own: Vec<&Sample> = samples
            .iter()
            .filter(|s| s.gateway == gateway && s.unit == unit)
            .collect();
        let score = scores.entry(label(&city.plan, gateway, class)).or_default();
        score.meters += 1;
        // Whenever it was read, a wrong value is one.
        score.wrong += own
            .iter()
            .filter(|s| {
                (0..2).any(|block| {
                    s.totals[block].is_none_or(|t| t != u64::from(total(gateway, unit, block)))
                })
            })
            .count();
        let mut times: Vec<i64> = own.iter().map(|s| s.at_ms).collect();
        times.sort_unstable();
        let mut last = times
            .iter()
            .copied()
            .filter(|at| *at < from_ms)
            .max()
            .map_or(from_ms, |at| at.max(from_ms - period_ms));
        for at in times
            .iter()
            .copied()
            .filter(|at| (from_ms..to_ms).contains(at))
        {
            let gap = at - last;
            score.readings += 1;
            score.missed += usize::try_from((gap + period_ms / 2) / period_ms - 1).unwrap_or(0);
            score.note_gap(gap, (gateway, unit, at));
            last = at;
        }
        let gap = to_ms - last;
        score.missed += usize::try_from(gap / period_ms).unwrap_or(0);
        score.note_gap(gap, (gateway, unit, to_ms));
    }
    scores
}

fn label(plan: &Plan, gateway: usize, class: UnitClass) -> &'static str {
    match (plan.gateways[gateway].0, class) {
        (GatewayClass::Mute, _) => "8 behind the mute gateway",
        (GatewayClass::Drops(_), UnitClass::Healthy) => "6 dropping gateway",
        (_, UnitClass::Silent) => "9 silent",
        (GatewayClass::Drops(_), _) => "7 dropping gateway, faulty units",
        (GatewayClass::Sound, UnitClass::Healthy) => "1 healthy",
        (GatewayClass::Sound, UnitClass::Busy) => "2 busy every second time",
        (GatewayClass::Sound, UnitClass::Short) => "3 short every third time",
        (GatewayClass::Sound, UnitClass::WrongId) => "4 wrong id every third time",
        (GatewayClass::Sound, UnitClass::Slow) => "5 slow",
    }
}

/// What the daemon's journal holds of the city.
pub(crate) fn journal_samples(city: &City, site: &Site) -> Vec<Sample> {
    use qiliang::domain::calendar::GasDayClock;
    use qiliang::domain::id::MeterId;
    use qiliang::domain::reading::Item;
    use qiliang::store::journal::Journal;

    let path = site.data_dir().join("readings.db");
    let Ok(journal) = Journal::open_read_only(path, GasDayClock::default()) else {
        return Vec::new();
    };
    let now = chrono::Utc::now();
    let day = chrono::TimeDelta::days(1);
    let mut samples = Vec::new();
    for (gateway, unit, _) in city.meters() {
        let id = MeterId::from(meter(gateway, unit).as_str());
        let readings = journal
            .readings_between(&id, now - day, now + day)
            .unwrap_or_default();
        samples.extend(readings.iter().map(|reading| {
            let total = |item| {
                reading
                    .exact(item)
                    .and_then(|units| u64::try_from(units / 10_000).ok())
            };
            Sample {
                gateway,
                unit,
                at_ms: reading.received_at.timestamp_millis(),
                totals: [total(Item::TotalStd), total(Item::TotalWork)],
            }
        }));
    }
    samples
}

/// The daemon's configuration for the city.
pub(crate) fn config(site: &Site, modbus: &str) -> std::path::PathBuf {
    let file = site.config(modbus);
    let text = std::fs::read_to_string(&file).unwrap();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let own = site.path().join("profiles");
    let text = text.replace(&format!("{shipped:?}"), &format!("{own:?}"));
    std::fs::write(&file, text).unwrap();
    file
}
