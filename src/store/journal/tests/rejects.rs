//! Rejected frames: counted, replayed, retained, filtered.

use super::*;

#[test]
fn rejects_are_listed_replayed_and_counted_each_time() {
    let dir = temp();
    let journal = open(dir.path());
    let entries = vec![reject(b"abc", 1), reject(b"abc", 2), reject(b"xyz", 3)];
    assert_eq!(journal.commit_blocking(entries).unwrap().rejected, 3);
    let all = journal.rejects(&RejectFilter::default()).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].beginning, b"xyz");
    assert_eq!(all[1].times, 2);
    assert_eq!(
        (all[1].first_received_at, all[1].last_received_at),
        (at(1), at(2))
    );
    let taken = Replayed {
        id: all[1].id,
        entry: entry(reading("m0", 1, 5)),
    };
    let report = journal.commit_replay(vec![taken], at(9)).unwrap();
    assert_eq!(
        (report.accepted, report.duplicate, report.refused),
        (1, 0, 0)
    );
    assert_eq!(journal.rejects(&RejectFilter::default()).unwrap().len(), 1);
    let replayed = journal.reject(all[1].id).unwrap().unwrap();
    assert_eq!(replayed.replayed_at, Some(at(9)));
    let filter = RejectFilter {
        code: Some("decode.other".into()),
        with_replayed: true,
        ..RejectFilter::default()
    };
    assert_eq!(journal.rejects(&filter).unwrap(), []);
    journal.commit_blocking(vec![reject(b"abc", 10)]).unwrap();
    let again = journal.reject(all[1].id).unwrap().unwrap();
    assert_eq!((again.times, again.replayed_at), (3, None));
    assert_eq!(journal.counters().unwrap().rejected, 4);
    assert_sums_hold(&journal);
}

/// What a broker had kept of a frame that is here already is counted, and says neither when it came last nor
/// anything else.
#[test]
fn a_retained_copy_changes_nothing_but_the_count() {
    let dir = temp();
    let journal = open(dir.path());
    journal.commit_blocking(vec![reject(b"abc", 1)]).unwrap();
    let before = journal.rejects(&RejectFilter::default()).unwrap();
    let JournalEntry::Reject(mut copy) = reject(b"abc", 90) else {
        unreachable!()
    };
    copy.frame.origin = RawFrame::retained_origin(&copy.frame.origin);
    copy.reason = RejectReason::new("ingest.retained", "kept by the broker");
    journal
        .commit_blocking(vec![JournalEntry::Reject(copy)])
        .unwrap();
    let mut after = journal.rejects(&RejectFilter::default()).unwrap();
    assert_eq!(after[0].times, 2);
    after[0].times = 1;
    assert_eq!(after, before);
    assert_sums_hold(&journal);
}

#[test]
fn a_replay_is_one_transaction_and_no_delivery() {
    let dir = temp();
    let journal = open(dir.path());
    let entries = vec![
        reject(b"abc", 1),
        reject(b"xyz", 3),
        entry(reading("m1", 1, 5)),
    ];
    journal.commit_blocking(entries).unwrap();
    let ids: Vec<i64> = journal
        .rejects_after(&RejectFilter::default(), i64::MIN)
        .unwrap()
        .iter()
        .map(|r| r.id)
        .collect();
    let again = RejectedFrame {
        reason: RejectReason::new("decode.other", "still not"),
        ..journal.reject(ids[1]).unwrap().unwrap().rejected
    };
    let replay = || {
        vec![
            Replayed {
                id: ids[0],
                entry: entry(reading("m1", 1, 5)),
            },
            Replayed {
                id: ids[1],
                entry: JournalEntry::Reject(again.clone()),
            },
        ]
    };
    let report = journal.commit_replay(replay(), at(9)).unwrap();
    assert_eq!(
        (report.accepted, report.duplicate, report.refused),
        (0, 1, 1)
    );
    let kept = journal.reject(ids[1]).unwrap().unwrap();
    assert_eq!(kept.rejected.reason.code, "decode.other");
    assert_eq!(
        (kept.times, kept.replayed_at),
        (1, None),
        "a replay is no delivery"
    );
    let stats = assert_sums_hold(&journal);
    assert_eq!(
        (stats.counters.received, stats.replayed, stats.waiting),
        (3, 1, 1)
    );
    assert_eq!(stats.by_code, [("decode.other".to_owned(), 1)].into());
    // Nothing of a replay that fails is left: neither reading nor mark.
    journal.limit_size(Some(1)).unwrap();
    let many: Vec<_> = (0..2_000)
        .map(|i| Replayed {
            id: ids[1],
            entry: entry(reading("m2", i, i)),
        })
        .collect();
    assert_eq!(
        journal.commit_replay(many, at(10)).unwrap_err().code(),
        "store.full"
    );
    assert!(journal.latest(&"m2".into()).unwrap().is_none());
    assert_eq!(journal.reject(ids[1]).unwrap().unwrap().replayed_at, None);
}

#[test]
fn retention_drops_what_is_old_then_what_was_replayed_then_the_oldest() {
    let dir = temp();
    let journal = open(dir.path());
    let frames: [(&'static [u8], i64); 4] =
        [(b"aaaa", 1), (b"bbbb", 2), (b"cccc", 3), (b"dddd", 4)];
    for (bytes, minute) in frames {
        journal
            .commit_blocking(vec![reject(bytes, minute), reject(bytes, minute)])
            .unwrap();
    }
    let left = || -> Vec<u8> {
        journal
            .rejects_after(
                &RejectFilter {
                    with_replayed: true,
                    ..RejectFilter::default()
                },
                i64::MIN,
            )
            .unwrap()
            .iter()
            .map(|r| r.rejected.frame.bytes[0])
            .collect()
    };
    let third = journal
        .rejects_after(&RejectFilter::default(), i64::MIN)
        .unwrap()[2]
        .id;
    let taken = Replayed {
        id: third,
        entry: entry(reading("m0", 1, 5)),
    };
    journal.commit_replay(vec![taken], at(9)).unwrap();
    let dropped = journal.drop_rejects(at(2), 1_000).unwrap();
    assert_eq!(
        (dropped.frames, dropped.deliveries, dropped.is_partial),
        (1, 2, false)
    );
    assert_eq!(left(), b"bcd");
    journal.drop_rejects(at(0), 8).unwrap();
    assert_eq!(left(), b"bd", "the replayed one makes room first");
    journal.drop_rejects(at(0), 4).unwrap();
    assert_eq!(left(), b"d", "then the oldest");
    assert_eq!(journal.drop_rejects(at(0), 4).unwrap().frames, 0);
    let stats = assert_sums_hold(&journal);
    assert_eq!((stats.dropped, stats.waiting), (6, 2));
    let purged = journal.purge_rejects(&RejectFilter::default()).unwrap();
    assert_eq!((purged.frames, purged.deliveries), (1, 2));
    assert_eq!(assert_sums_hold(&journal).purged, 2);
}
