//! A journal that takes nothing: deliveries are kept beside it, whatever happens meanwhile, and come to it once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use qiliang::store::backup;

use super::pages::pages_root;
use super::*;
use crate::support::publisher::payload;

const PAGE: usize = 4_096;

/// A meter that pushes one reading after another, each until it is acknowledged.
#[derive(Clone, Default)]
struct Pusher {
    /// Of the daemon that runs now.
    address: Arc<Mutex<String>>,
    acknowledged: Arc<Mutex<Vec<DateTime<Utc>>>>,
    is_over: Arc<AtomicBool>,
}

impl Pusher {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    async fn push(self, from: DateTime<Utc>) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut seq = 0_usize;
        while !self.is_over.load(Ordering::Relaxed) {
            let at = from + TimeDelta::seconds(i64::try_from(seq).unwrap());
            let url = format!("http://{}/api/v1/readings", self.address.lock().unwrap());
            let body = payload(1, 10_000 + seq, at);
            let request = http.post(url).header("content-type", "application/json");
            match request.body(body).send().await {
                Ok(answer) => {
                    assert_eq!(answer.status().as_u16(), 202);
                    self.acknowledged.lock().unwrap().push(at);
                    seq += 1;
                }
                // Killed: the same again once there is another.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

pub(super) fn run(config: &Path, arguments: &[&str]) -> (bool, String) {
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend(arguments);
    let output = qiliang(&all);
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Ingestion on a damaged file, the daemon killed twice in the middle of it, and the way back.
async fn goes_on(what: &str, place: impl Fn(&Path) -> usize) {
    let (site, config) = filled_site();
    let file = site.data_dir().join("readings.db");
    let before = Journal::open_read_only(&file, GasDayClock::default()).unwrap();
    let counted = before.counters().unwrap();
    drop(before);
    let at = place(&file);
    let mut bytes = fs::read(&file).unwrap();
    for byte in &mut bytes[at..at + 12] {
        *byte ^= 0xA5;
    }
    fs::write(&file, bytes).unwrap();

    let mut daemon = Daemon::start(&config, &site.data_dir());
    let pusher = Pusher::default();
    *pusher.address.lock().unwrap() = daemon.address();
    let from = first_at() + TimeDelta::days(1);
    let pushing = tokio::spawn(pusher.clone().push(from));
    let more = |count: usize| {
        let wanted = pusher.count() + count;
        wait_for("more acknowledgements", || {
            (pusher.count() >= wanted).then_some(())
        });
    };
    tokio::task::block_in_place(|| {
        for _ in 0..2 {
            more(20);
            daemon.kill_in_place();
            daemon = Daemon::start(&config, &site.data_dir());
            *pusher.address.lock().unwrap() = daemon.address();
        }
        more(20);
    });
    pusher.is_over.store(true, Ordering::Relaxed);
    pushing.await.unwrap();
    let acknowledged = pusher.acknowledged.lock().unwrap().clone();

    let address = daemon.address();
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await;
        answer.unwrap().text().await.unwrap()
    };
    let ready: serde_json::Value = serde_json::from_str(&get("/readyz").await).unwrap();
    let warnings = ready["warnings"].as_array().unwrap();
    for code in ["store.damaged", "store.set_aside"] {
        let is_told = warnings.iter().any(|w| w["code"] == code);
        assert!(is_told, "{what}: {ready}");
    }
    let metrics = get("/metrics").await;
    let set_aside = metrics
        .lines()
        .find_map(|line| line.strip_prefix("qiliang_store_readings_set_aside "))
        .unwrap_or_else(|| panic!("{what}: {metrics}"));
    let set_aside: f64 = set_aside.parse().unwrap();
    assert!(
        set_aside >= acknowledged.len() as f64,
        "{what}: {set_aside}"
    );
    assert!(daemon.log().contains("salvage"), "{what}: {}", daemon.log());
    assert!(daemon.is_running(), "{what}: {}", daemon.log());
    assert!(daemon.stop().success());

    tokio::task::block_in_place(|| {
        let (is_sound, said) = run(&config, &["verify"]);
        assert!(!is_sound, "{what}: {said}");
        let (to, config) = (site.path().join("saved"), &config);
        let (_, said) = run(config, &["salvage", to.to_str().unwrap()]);
        assert!(
            said.contains("readings-aside.db: entries"),
            "{what}: {said}"
        );
        let (is_done, said) = run(config, &["restore", to.to_str().unwrap(), "--replace"]);
        assert!(is_done, "{what}: {said}");
        assert!(!site.data_dir().join(backup::ASIDE).exists());
    });
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    assert!(daemon.stop().success());
    let journal = Journal::open_read_only(&file, GasDayClock::default()).unwrap();
    assert_eq!(journal.set_aside_len().unwrap(), 0);
    let to = from + TimeDelta::days(1);
    let found = journal.readings_between(&"M1".into(), from, to).unwrap();
    let there: Vec<_> = found.iter().map(|reading| reading.sampled_at).collect();
    // What was taken and not answered before a kill was pushed again: one more at most, and not twice.
    assert_eq!(there, acknowledged, "{what}");
    let counters = journal.counters().unwrap();
    if counters.accepted >= counted.accepted {
        let new = counters.accepted - counted.accepted;
        assert_eq!(new, acknowledged.len() as u64, "{what}: {counters:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_where_a_small_table_is_damaged() {
    goes_on("counters", |file| (pages_root(file, "counters") - 1) * PAGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_starts_and_goes_on_where_the_header_is_damaged() {
    goes_on("header", |_| 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_starts_and_goes_on_where_the_schema_is_damaged() {
    goes_on("schema", |_| 100).await;
}
