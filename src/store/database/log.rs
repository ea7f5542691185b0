//! The write-ahead log as it is on disk, read without SQLite: what of it is committed, and whether it was
//! damaged. <https://www.sqlite.org/fileformat2.html#walformat>

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Before the first frame, and before the page in each.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What a log holds.
#[derive(Debug, Default)]
pub(in crate::store) struct Log {
    /// Where the newest committed frame of each page stands, as an offset in the log.
    pub(in crate::store) frames: BTreeMap<u32, u64>,
    /// Where the first frame stands that is not what was written.
    end: u64,
    /// Commits behind it, which nobody can read any more.
    lost: u64,
}

/// The log of a file.
pub(in crate::store) fn path_of(file: &Path) -> OsString {
    let mut path = file.as_os_str().to_owned();
    path.push("-wal");
    path
}

pub(in crate::store) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_be_bytes)
}

/// What was committed and cannot be read because the log of a file was damaged, in words; none if it is
/// whole. A log that ends within its last commit is whole: that one was never acknowledged.
pub(in crate::store) fn damage(file: &Path) -> Option<String> {
    let log = File::open(path_of(file)).ok()?;
    let mut header = [0; HEADER];
    log.read_exact_at(&mut header, 0).ok()?;
    let page_bytes = usize::try_from(be32(&header, 8)?).ok()?;
    if !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
        return None;
    }
    let found = read(&log, page_bytes);
    (found.lost > 1).then(|| {
        format!(
            "the log beside it is damaged at byte {}: {} commits from there on are lost",
            found.end, found.lost
        )
    })
}

/// Reads a log. It is valid up to the first frame whose checksum does not fit.
pub(in crate::store) fn read(log: &File, page_bytes: usize) -> Log {
    let mut found = Log::default();
    let mut header = [0; HEADER];
    if log.read_exact_at(&mut header, 0).is_err() {
        return found;
    }
    let is_big = match be32(&header, 0) {
        Some(0x377f_0682) => false,
        Some(0x377f_0683) => true,
        _ => return found,
    };
    let told = be32(&header, 8).and_then(|bytes| usize::try_from(bytes).ok());
    let mut sum = add(is_big, (0, 0), header.get(..24).unwrap_or_default());
    if told != Some(page_bytes) || Some(sum) != be32(&header, 24).zip(be32(&header, 28)) {
        return found;
    }
    let salt = header.get(16..24).map(<[u8]>::to_vec);
    let mut offset = HEADER as u64;
    let mut frame = vec![0; FRAME_HEADER + page_bytes];
    let mut uncommitted = BTreeMap::new();
    let mut is_valid = true;
    while log.read_exact_at(&mut frame, offset).is_ok() {
        let (Some(page), Some(is_commit)) = (be32(&frame, 0), be32(&frame, 4)) else {
            break;
        };
        let is_of_this_log = frame.get(8..16).map(<[u8]>::to_vec) == salt;
        if is_valid {
            sum = add(is_big, sum, frame.get(..8).unwrap_or_default());
            sum = add(is_big, sum, frame.get(FRAME_HEADER..).unwrap_or_default());
            is_valid = is_of_this_log && Some(sum) == be32(&frame, 16).zip(be32(&frame, 20));
            found.end = offset;
        }
        if is_valid {
            uncommitted.insert(page, offset + FRAME_HEADER as u64);
            if is_commit != 0 {
                found.frames.append(&mut uncommitted);
            }
        } else if is_of_this_log && is_commit != 0 {
            found.lost += 1;
        }
        offset += frame.len() as u64;
    }
    found
}

/// The checksum of a log, carried on over more bytes.
fn add(is_big: bool, (mut a, mut b): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let word = |four: &[u8]| {
        let four: [u8; 4] = four.try_into().unwrap_or_default();
        if is_big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        }
    };
    for eight in bytes.chunks_exact(8) {
        let (first, second) = eight.split_at(4);
        a = a.wrapping_add(word(first)).wrapping_add(b);
        b = b.wrapping_add(word(second)).wrapping_add(a);
    }
    (a, b)
}
