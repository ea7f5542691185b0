//! SQLite's write-ahead log as its file format document describes it: where the last commit ends.

/// The header of the log.
const HEADER: usize = 32;
/// The header of a frame.
const FRAME: usize = 24;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The running checksum over pairs of words, in the byte order the header names.
fn sum(is_big: bool, bytes: &[u8], mut sums: (u32, u32)) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let of = |bytes: &[u8]| {
            let bytes = bytes.try_into().unwrap();
            if is_big {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        sums.0 = sums.0.wrapping_add(of(&pair[..4])).wrapping_add(sums.1);
        sums.1 = sums.1.wrapping_add(of(&pair[4..])).wrapping_add(sums.0);
    }
    sums
}

/// Where the last frame of the last complete transaction ends; 0 if there is none.
pub(super) fn last_commit_end(log: &[u8]) -> usize {
    if log.len() < HEADER {
        return 0;
    }
    let is_big = word(log, 0) & 1 == 1;
    let page = usize::try_from(word(log, 8)).unwrap();
    let salts = &log[16..24];
    let mut sums = sum(is_big, &log[..24], (0, 0));
    if (word(log, 24), word(log, 28)) != sums {
        return 0;
    }
    let (mut at, mut end) = (HEADER, 0);
    while let Some(frame) = log.get(at..at + FRAME + page) {
        sums = sum(is_big, &frame[..8], sums);
        sums = sum(is_big, &frame[FRAME..], sums);
        if &frame[8..16] != salts || (word(frame, 16), word(frame, 20)) != sums {
            break;
        }
        at += FRAME + page;
        if word(frame, 4) != 0 {
            end = at;
        }
    }
    end
}

#[test]
fn the_last_commit_of_a_real_log_is_found_and_a_torn_tail_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.db");
    let c = rusqlite::Connection::open(&file).unwrap();
    c.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t (x)")
        .unwrap();
    let log = || std::fs::read(dir.path().join("t.db-wal")).unwrap();
    let one = last_commit_end(&log());
    assert_eq!(one, log().len());
    c.execute("INSERT INTO t VALUES (1)", []).unwrap();
    let two = log();
    assert!(one > 0 && last_commit_end(&two) > one);
    assert_eq!(last_commit_end(&two[..two.len() - 1]), one);
    let mut garbled = two.clone();
    let last = garbled.len() - 100;
    garbled[last] ^= 1;
    assert_eq!(last_commit_end(&garbled), one);
}
