//! The pages of an SQLite file as they are on disk, the committed part of the log over them.
//!
//! Nothing here asks SQLite, and nothing is written: a file that SQLite refuses is read all the same.
//! <https://www.sqlite.org/fileformat2.html>

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::store::database::log;

/// Size of a page of files we make, for a header that cannot be read.
const PAGE_BYTES: usize = 4_096;

/// A file whose pages can be read one by one.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    /// The newest committed frame of a page, as an offset in the log.
    log: Option<(File, BTreeMap<u32, u64>)>,
    pub(super) page_bytes: usize,
    /// The greatest number of a page.
    count: u32,
    /// Pages of the file itself; of those behind it only some are in the log.
    in_file: u32,
    /// Schema version, if the header tells one.
    pub(super) version: Option<u32>,
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let beside = match File::open(log::path_of(path)) {
            Ok(file) => Some(file),
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
        let in_file = u32::try_from(len / page_bytes as u64).unwrap_or(u32::MAX);
        let mut pages = Self {
            file,
            log: None,
            page_bytes,
            count: in_file,
            in_file,
            version: None,
        };
        if let Some(file) = beside {
            let frames = log::read(&file, page_bytes).frames;
            pages.count = frames.keys().copied().max().unwrap_or(0).max(pages.count);
            pages.log = Some((file, frames));
        }
        pages.version = pages
            .read(1)
            .filter(|page| page.starts_with(b"SQLite format 3\0"))
            .and_then(|page| log::be32(&page, 60));
        Ok(pages)
    }

    /// Numbers of the pages there are, but for the first.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let frames = self.log.iter().flat_map(|(_, frames)| frames.keys());
        let behind = frames.copied().filter(|number| *number > self.in_file);
        (2..=self.in_file).chain(behind)
    }

    /// Pages in the list of those that hold nothing: what stands on them was deleted.
    pub(super) fn free(&self) -> BTreeSet<u32> {
        let mut free = BTreeSet::new();
        let mut trunk = self.read(1).and_then(|page| log::be32(&page, 32));
        while let Some(number) = trunk.filter(|number| *number > 0) {
            let Some(page) = self.read(number).filter(|_| free.insert(number)) else {
                break;
            };
            let count = log::be32(&page, 4).unwrap_or(0);
            let places = (0..count).map_while(|index| {
                let at = usize::try_from(index).ok()?.checked_mul(4)?;
                log::be32(&page, at + 8)
            });
            free.extend(places);
            trunk = log::be32(&page, 0);
        }
        free
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
