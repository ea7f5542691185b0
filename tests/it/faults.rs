//! The fault matrix: whatever fails, nothing the broker acknowledged is lost and nothing stored twice.
//!
//! `make bench-faults` runs each fault twenty times and prints the table; as a test each runs once.
//! The real program, Debian's mosquitto, and meters that remember what was acknowledged.

mod aside;
mod book;
mod pages;
mod telegraf;
mod wal;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::store::journal::{Journal, JournalCounters};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::daemon::{Daemon, qiliang};
use crate::support::disk::SmallDisk;
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Line, Proxy};
use crate::support::publisher::{Acknowledged, Key, publish_all};
use crate::support::site::{self, Site};
use crate::support::{skipped, wait_for};

const DEVICES: usize = 8;
const MESSAGES_EACH: usize = 150;
/// Time to arrive after everything works again; what is not there by then counts as lost.
const ARRIVAL_MAX: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    DaemonKilled,
    BrokerKilled,
    CutAtOurEnd,
    CutAtTheMeters,
    DiskFull,
    TornLastPage,
}

impl Fault {
    const ALL: [Self; 6] = [
        Self::DaemonKilled,
        Self::BrokerKilled,
        Self::CutAtOurEnd,
        Self::CutAtTheMeters,
        Self::DiskFull,
        Self::TornLastPage,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::DaemonKilled => "daemon killed (kill -9), twice",
            Self::BrokerKilled => "broker killed (SIGTERM) and started again",
            Self::CutAtOurEnd => "network cut between broker and daemon",
            Self::CutAtTheMeters => "network cut between meters and broker",
            Self::DiskFull => "disk full, then freed",
            Self::TornLastPage => "kill -9 and a torn last page",
        }
    }
}

/// How often each fault is run: `QILIANG_FAULT_RUNS`, or once.
fn runs() -> usize {
    std::env::var("QILIANG_FAULT_RUNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

fn first_at() -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap() - TimeDelta::days(2)
}

/// What came of some runs.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    acknowledged: usize,
    stored: usize,
    lost: usize,
    twice: usize,
    invented: usize,
    redelivered: u64,
    longest: Duration,
}

/// One run: site, broker, daemon and meters of its own.
struct Bench {
    site: Site,
    config: PathBuf,
    broker: Mosquitto,
    _broker_dir: tempfile::TempDir,
    ours: Proxy,
    theirs: Proxy,
    daemon: Daemon,
    acknowledged: Acknowledged,
    from: DateTime<Utc>,
    random: StdRng,
    mounted: Option<SmallDisk>,
}

impl Bench {
    /// None where the fault cannot be made here; the reason was said aloud.
    async fn start(fault: Fault, seed: u64) -> Option<Self> {
        let broker_dir = tempfile::tempdir().unwrap();
        let Some(broker) = Mosquitto::start(None, broker_dir.path()) else {
            skipped("mosquitto not found: apt-get install mosquitto");
            return None;
        };
        let site = Site::new(DEVICES);
        let mounted = match fault {
            Fault::DiskFull => Some(SmallDisk::mount(&site.data_dir())?),
            _ => None,
        };
        let ours = Proxy::start(broker.port()).await;
        let theirs = Proxy::start(broker.port()).await;
        let config = site.config(&site::broker(ours.port()));
        let mut daemon = Daemon::start(&config, &site.data_dir());
        tokio::task::block_in_place(|| {
            daemon.address();
            wait_for("the subscription", || {
                daemon.log().contains("Subscribed to").then_some(())
            });
            // A broker killed before it wrote the session would not know whom to keep messages for.
            let sessions = broker_dir.path().join("mosquitto.db");
            wait_for("the broker to write the session", || {
                let written = fs::read(&sessions).ok()?;
                let has = |text: &[u8]| written.windows(text.len()).any(|w| w == text);
                (has(b"qiliang-test") && has(b"up/reading")).then_some(())
            });
        });
        Some(Self {
            site,
            config,
            broker,
            _broker_dir: broker_dir,
            ours,
            theirs,
            daemon,
            acknowledged: Acknowledged::default(),
            from: first_at(),
            random: StdRng::seed_from_u64(seed),
            mounted,
        })
    }

    fn wal(&self) -> PathBuf {
        self.site.data_dir().join("readings.db-wal")
    }

    fn restart(&mut self) {
        self.daemon = Daemon::start(&self.config, &self.site.data_dir());
        self.daemon.address();
    }

    /// Waits for a random number of further messages.
    fn random_moment(&mut self, share: usize) {
        let more = self
            .random
            .random_range(20..DEVICES * MESSAGES_EACH / share);
        let wanted = (self.acknowledged.len() + more).min(DEVICES * MESSAGES_EACH - 50);
        wait_for("more messages in flight", || {
            (self.acknowledged.len() >= wanted).then_some(())
        });
    }

    fn some_time(&mut self) {
        let millis = self.random.random_range(50..700);
        std::thread::sleep(Duration::from_millis(millis));
    }

    fn inject(&mut self, fault: Fault, run: usize) {
        match fault {
            Fault::DaemonKilled => {
                for _ in 0..2 {
                    self.random_moment(4);
                    self.daemon.kill_in_place();
                    self.restart();
                }
            }
            Fault::BrokerKilled => {
                // Not kill -9: mosquitto acknowledges from memory, and what it has acknowledged to a
                // meter and not yet handed on dies with it (3 of 3,600 in a run). No client of it can
                // mend that; meters that connect to our own listener do not depend on it.
                self.random_moment(2);
                self.broker.stop();
                self.some_time();
                self.broker.run();
            }
            Fault::CutAtOurEnd | Fault::CutAtTheMeters => {
                self.random_moment(2);
                // First nothing comes through and nobody is told, then the connections break.
                let end = |bench: &Self, line| match fault {
                    Fault::CutAtOurEnd => bench.ours.set(line),
                    _ => bench.theirs.set(line),
                };
                end(self, Line::Holds);
                self.some_time();
                end(self, Line::Cut);
                self.some_time();
                end(self, Line::Up);
            }
            Fault::DiskFull => {
                self.random_moment(2);
                let ballast = self.site.data_dir().join("ballast");
                fs::write(&ballast, vec![0_u8; 80 << 20]).unwrap_err();
                wait_for("the log to name the full disk", || {
                    self.daemon.log().contains("no space left").then_some(())
                });
                assert!(self.daemon.is_running(), "{}", self.daemon.log());
                fs::remove_file(ballast).unwrap();
            }
            Fault::TornLastPage => self.tear(run),
        }
    }

    /// A power cut in the middle of a commit that was not acknowledged: acknowledgements are held
    /// back, so what is committed from then on the broker must still have; that part of the log is
    /// torn. What lies before is on disk, and must be there.
    fn tear(&mut self, run: usize) {
        self.random_moment(2);
        self.ours.set(Line::HoldsRequests);
        let safe = wal::last_commit_end(&fs::read(self.wal()).unwrap());
        let wal = self.wal();
        wait_for("a commit that is not acknowledged", || {
            (wal::last_commit_end(&fs::read(&wal).ok()?) > safe).then_some(())
        });
        self.daemon.kill_in_place();
        let mut bytes = fs::read(&wal).unwrap();
        let end = wal::last_commit_end(&bytes);
        assert!(end > safe, "the log was begun anew in between");
        let at = self.random.random_range(safe + 1..end);
        match run % 4 {
            0 => bytes.truncate(at),
            1 => {
                let to = (at + 64).min(end);
                for byte in &mut bytes[at..to] {
                    *byte ^= 0x5A;
                }
            }
            2 => bytes[at..end].fill(0),
            _ => {
                // The next write had begun: a frame that ends early.
                bytes.truncate(end);
                let begun = bytes[safe.max(32)..(safe.max(32) + 24)].to_vec();
                bytes.extend(begun);
                bytes.extend((0..1_000).map(|i| u8::try_from(i % 251).unwrap()));
            }
        }
        fs::write(&wal, bytes).unwrap();
        self.ours.set(Line::Cut);
        self.ours.set(Line::Up);
        self.restart();
    }

    /// Keys stored, and the journal's counters.
    fn stored(&self) -> (Vec<Key>, JournalCounters) {
        let path = self.site.data_dir().join("readings.db");
        let journal = Journal::open_read_only(path, GasDayClock::default()).unwrap();
        let (from, to) = (
            self.from - TimeDelta::days(1),
            self.from + TimeDelta::days(9),
        );
        let keys = (0..DEVICES)
            .flat_map(|device| {
                let meter = MeterId::from(format!("M{device}").as_str());
                let readings = journal.readings_between(&meter, from, to).unwrap();
                readings.into_iter().map(move |r| (device, r.sampled_at))
            })
            .collect();
        (keys, journal.counters().unwrap())
    }
}

/// One run; adds what came of it.
async fn run_once(fault: Fault, run: usize, tally: &mut Tally) -> bool {
    let Some(mut bench) = Bench::start(fault, 1_000 + run as u64).await else {
        return false;
    };
    let began = Instant::now();
    let publishing = tokio::spawn(publish_all(
        bench.theirs.port(),
        DEVICES,
        MESSAGES_EACH,
        Duration::from_millis(5),
        bench.from,
        bench.acknowledged.clone(),
    ));
    tokio::task::block_in_place(|| bench.inject(fault, run));
    publishing.await.unwrap();
    let acknowledged = bench.acknowledged.keys();
    assert_eq!(acknowledged.len(), DEVICES * MESSAGES_EACH);
    let published = Instant::now();
    let (rows, counters) = tokio::task::block_in_place(|| {
        loop {
            let (rows, counters) = bench.stored();
            let set: BTreeSet<Key> = rows.iter().copied().collect();
            if acknowledged.is_subset(&set) || published.elapsed() > ARRIVAL_MAX {
                return (rows, counters);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(bench.daemon.is_running(), "{}", bench.daemon.log());
    let set: BTreeSet<Key> = rows.iter().copied().collect();
    assert_eq!(counters.rejected, 0);
    assert_eq!(
        counters.received,
        counters.accepted + counters.duplicate + counters.rejected
    );
    tally.runs += 1;
    tally.acknowledged += acknowledged.len();
    tally.stored += rows.len();
    tally.lost += acknowledged.difference(&set).count();
    tally.invented += set.difference(&acknowledged).count();
    // A reading is new once: more would mean that something was written twice.
    tally.twice += rows.len() - set.len();
    tally.twice += usize::try_from(counters.accepted)
        .unwrap()
        .abs_diff(set.len());
    tally.redelivered += counters.duplicate;
    tally.longest = tally.longest.max(began.elapsed());
    bench.broker.kill9();
    drop(bench.mounted.take());
    true
}

fn table(tallies: &[(Fault, Tally)]) -> String {
    let mut out = format!(
        "{:<40} {:>5} {:>13} {:>8} {:>6} {:>13} {:>12} {:>8}\n",
        "fault", "runs", "acknowledged", "stored", "lost", "stored twice", "redelivered", "slowest"
    );
    for (fault, tally) in tallies {
        writeln!(
            out,
            "{:<40} {:>5} {:>13} {:>8} {:>6} {:>13} {:>12} {:>6.1} s",
            fault.name(),
            tally.runs,
            tally.acknowledged,
            tally.stored,
            tally.lost,
            tally.twice,
            tally.redelivered,
            tally.longest.as_secs_f64()
        )
        .unwrap();
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_loses_or_doubles_a_reading() {
    let mut tallies = Vec::new();
    for fault in Fault::ALL {
        let mut tally = Tally::default();
        for run in 0..runs() {
            if !run_once(fault, run, &mut tally).await {
                break;
            }
        }
        if tally.runs > 0 {
            eprintln!("{}: {} run(s) done", fault.name(), tally.runs);
            tallies.push((fault, tally));
        }
    }
    println!("\n{}", table(&tallies));
    for (fault, tally) in &tallies {
        assert_eq!(
            (tally.lost, tally.twice, tally.invented),
            (0, 0, 0),
            "{}: lost, stored twice, invented",
            fault.name()
        );
    }
}

/// A site whose journal holds some days, closed in order.
fn filled_site() -> (Site, PathBuf) {
    let site = Site::new(3);
    let config = site.config("");
    let mut lines = String::new();
    let from = first_at();
    for seq in 0..600 {
        let at = from + TimeDelta::minutes(seq);
        let json = crate::support::publisher::payload(
            usize::try_from(seq % 3).unwrap(),
            usize::try_from(seq).unwrap(),
            at,
        );
        writeln!(
            lines,
            r#"{{"received_at":"{}","device":"D{}","json":{json}}}"#,
            at.to_rfc3339(),
            seq % 3
        )
        .unwrap();
    }
    let file = site.path().join("history.ndjson");
    fs::write(&file, lines).unwrap();
    let output = qiliang(&[
        "--config",
        config.to_str().unwrap(),
        "import",
        file.to_str().unwrap(),
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Everything from the log into the file.
    let c = rusqlite::Connection::open(site.data_dir().join("readings.db")).unwrap();
    c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    (site, config)
}

#[test]
fn a_garbled_page_of_the_database_is_named_and_not_served() {
    let (site, config) = filled_site();
    let config = config.to_str().unwrap();
    let file = site.data_dir().join("readings.db");
    let sound = fs::read(&file).unwrap();
    let verified = qiliang(&["--config", config, "verify"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let pages = sound.len() / 4_096;
    assert!(pages > 10, "{pages} pages");
    for page in 1..pages {
        let mut garbled = sound.clone();
        let start = page * 4_096;
        if garbled[start..start + 4_096].iter().all(|b| *b == 0) {
            continue;
        }
        for byte in &mut garbled[start..start + 16] {
            *byte ^= 0xA5;
        }
        fs::write(&file, &garbled).unwrap();
        let output = qiliang(&["--config", config, "verify"]);
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success(), "page {page} was not missed");
        assert!(
            text.contains("readings.db") && text.contains("backup"),
            "page {page}: {text}"
        );
    }
    fs::write(&file, sound).unwrap();
}
