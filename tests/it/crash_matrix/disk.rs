//! The disk fills up under the daemon and is freed again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::support::disk::SmallDisk;
use crate::support::wait_for;

/// Pushes each reading until it is acknowledged; how often one had to be said again.
async fn push_all(
    address: String,
    from: DateTime<Utc>,
    seqs: std::ops::Range<usize>,
    acknowledged: Arc<Mutex<BTreeSet<usize>>>,
) -> u64 {
    let client = Client::builder().no_proxy().build().unwrap();
    let mut again = 0;
    for seq in seqs {
        let at = from + TimeDelta::minutes(i64::try_from(seq).unwrap());
        loop {
            let request = client
                .post(format!("http://{address}/api/v1/readings"))
                .header("content-type", "application/json")
                .header("idempotency-key", format!("key-{seq}"))
                .body(payload(0, seq, at));
            match request.send().await {
                Ok(answer) if answer.status().is_success() => break,
                _ => {
                    again += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        acknowledged.lock().unwrap().insert(seq);
    }
    again
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out_unacknowledged_and_loses_nothing() {
    let mut sums = Sums::default();
    for _ in 0..rounds() {
        let site = Site::new(1);
        let Some(disk) = SmallDisk::mount(&site.data_dir()) else {
            return;
        };
        let config = site.config("");
        let from = first_at();
        let mut daemon = Daemon::start(&config, &site.data_dir());
        let address = daemon.address();
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let half = READINGS / 2;
        push_all(address.clone(), from, 0..half, Arc::clone(&acknowledged)).await;

        let ballast = disk.fill();
        let rest = tokio::spawn(push_all(
            address,
            from,
            half..READINGS,
            Arc::clone(&acknowledged),
        ));
        tokio::task::block_in_place(|| {
            wait_for("the full disk to be told", || {
                daemon.log().contains("store.full").then_some(())
            });
        });
        let before = acknowledged.lock().unwrap().len();
        assert!(before < READINGS, "everything went through a full disk");
        assert!(
            daemon.log().contains("free space on that disk"),
            "{}",
            daemon.log()
        );
        // What is acknowledged is there, also to somebody who reads beside the daemon.
        assert!(stored(&site.data_dir(), from).len() >= before);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(daemon.is_running(), "{}", daemon.log());

        fs::remove_file(ballast).unwrap();
        sums.repeated += rest.await.unwrap();
        assert!(daemon.stop().success());
        let rows = stored(&site.data_dir(), from);
        let distinct: BTreeSet<_> = rows.iter().copied().collect();
        sums.kills += 1;
        sums.acknowledged += before as u64;
        sums.lost += READINGS - distinct.len();
        sums.twice += rows.len() - distinct.len();
        drop(disk);
    }
    let also = "told as `store.full`, goes on by itself once space is free";
    row("disk full, then freed", sums.kills, &sums, also);
    assert_eq!((sums.lost, sums.twice), (0, 0));
}
