//! The pages of an SQLite file as they are on disk, the committed part of the log over them.
//!
//! Nothing here asks SQLite, and nothing is written: a file that SQLite refuses is read all the same.
//! <https://www.sqlite.org/fileformat2.html>

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Size of a page of files we make, for a header that cannot be read.
const PAGE_BYTES: usize = 4_096;
/// Before the first frame of a log, and before the page in each.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// A file whose pages can be read one by one.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    /// The newest committed frame of a page, as an offset in the log.
    log: Option<(File, BTreeMap<u32, u64>)>,
    pub(super) page_bytes: usize,
    pub(super) count: u32,
    /// Schema version, if the header tells one.
    pub(super) version: Option<u32>,
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_be_bytes)
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut log_path = path.as_os_str().to_owned();
        log_path.push("-wal");
        let log = match File::open(log_path) {
            Ok(log) => Some(log),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut header = [0; 100];
        let has_header = file.read_exact_at(&mut header, 0).is_ok();
        let told = usize::from(u16::from_be_bytes([header[16], header[17]]));
        let is_size = |bytes: &usize| (512..=32_768).contains(bytes) && bytes.is_power_of_two();
        let page_bytes = Some(told)
            .filter(|bytes| has_header && is_size(bytes))
            .unwrap_or(PAGE_BYTES);
        let mut pages = Self {
            file,
            log: None,
            page_bytes,
            count: u32::try_from(len / page_bytes as u64).unwrap_or(u32::MAX),
            version: None,
        };
        if let Some(log) = log {
            let frames = committed(&log, page_bytes);
            pages.count = frames.keys().copied().max().unwrap_or(0).max(pages.count);
            pages.log = Some((log, frames));
        }
        pages.version = pages
            .read(1)
            .filter(|page| page.starts_with(b"SQLite format 3\0"))
            .and_then(|page| be32(&page, 60));
        Ok(pages)
    }

    /// A page, numbered from 1; none if it is not there.
    pub(super) fn read(&self, number: u32) -> Option<Vec<u8>> {
        if number == 0 || number > self.count {
            return None;
        }
        let mut page = vec![0; self.page_bytes];
        let in_log = self
            .log
            .as_ref()
            .and_then(|(log, frames)| Some((log, *frames.get(&number)?)));
        let read = if let Some((log, offset)) = in_log {
            log.read_exact_at(&mut page, offset)
        } else {
            let offset = u64::from(number - 1) * self.page_bytes as u64;
            self.file.read_exact_at(&mut page, offset)
        };
        read.ok().map(|()| page)
    }
}

/// Where the newest committed frame of each page stands. A log is valid up to the first frame whose
/// checksum does not fit; what follows the last commit before that was never acknowledged.
fn committed(log: &File, page_bytes: usize) -> BTreeMap<u32, u64> {
    let mut frames = BTreeMap::new();
    let mut header = [0; LOG_HEADER];
    if log.read_exact_at(&mut header, 0).is_err() {
        return frames;
    }
    let is_big = match be32(&header, 0) {
        Some(0x377f_0682) => false,
        Some(0x377f_0683) => true,
        _ => return frames,
    };
    let told = be32(&header, 8).and_then(|bytes| usize::try_from(bytes).ok());
    let mut sum = add(is_big, (0, 0), header.get(..24).unwrap_or_default());
    if told != Some(page_bytes) || Some(sum) != be32(&header, 24).zip(be32(&header, 28)) {
        return frames;
    }
    let salt = header.get(16..24).map(<[u8]>::to_vec);
    let mut offset = LOG_HEADER as u64;
    let mut frame = vec![0; FRAME_HEADER + page_bytes];
    let mut uncommitted = BTreeMap::new();
    while log.read_exact_at(&mut frame, offset).is_ok() {
        sum = add(is_big, sum, frame.get(..8).unwrap_or_default());
        sum = add(is_big, sum, frame.get(FRAME_HEADER..).unwrap_or_default());
        let is_whole = frame.get(8..16).map(<[u8]>::to_vec) == salt
            && Some(sum) == be32(&frame, 16).zip(be32(&frame, 20));
        let (Some(page), Some(is_commit)) = (be32(&frame, 0), be32(&frame, 4)) else {
            break;
        };
        if !is_whole {
            break;
        }
        uncommitted.insert(page, offset + FRAME_HEADER as u64);
        if is_commit != 0 {
            frames.append(&mut uncommitted);
        }
        offset += frame.len() as u64;
    }
    frames
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
