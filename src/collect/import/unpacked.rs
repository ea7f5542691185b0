//! What a workbook unpacks to, looked at before it is read.
//!
//! A workbook is a ZIP archive of XML, and its reader keeps every shared text of it in memory: two
//! megabytes can unpack to thousands of times as much. The sizes an archive states may lie, so the parts
//! are unpacked once, to nowhere.

use std::io::{self, Cursor, Read as _};

use thiserror::Error;
use zip::ZipArchive;

/// Why a workbook is not read.
#[derive(Debug, Error)]
pub(super) enum UnpackError {
    #[error(
        "the workbook unpacks to more than {} MiB; keep the sheet that is meant, without pictures and formats, \
         and save it again",
        max >> 20
    )]
    TooMuch { max: u64 },
    #[error("it is no workbook that can be read: {0}")]
    Broken(String),
}

/// Unpacks every part of the archive to nowhere.
///
/// # Errors
/// It unpacks to more than `max` bytes, or is no archive that can be unpacked.
pub(super) fn at_most(bytes: &[u8], max: u64) -> Result<(), UnpackError> {
    let broken = UnpackError::Broken;
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(error.to_string()))?;
    let mut left = max;
    for index in 0..archive.len() {
        let part = archive
            .by_index(index)
            .map_err(|error| broken(error.to_string()))?;
        let size = io::copy(&mut part.take(left + 1), &mut io::sink())
            .map_err(|error| broken(error.to_string()))?;
        left = left.checked_sub(size).ok_or(UnpackError::TooMuch { max })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// An archive of one part of so many zeroes.
    fn archive(size: usize) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer
            .start_file("xl/sharedStrings.xml", SimpleFileOptions::default())
            .unwrap();
        writer.write_all(&vec![0; size]).unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let bytes = archive(4 << 20);
        assert!(bytes.len() < 64 << 10, "{}", bytes.len());
        at_most(&bytes, 4 << 20).unwrap();
        let error = at_most(&bytes, (4 << 20) - 1).unwrap_err().to_string();
        assert!(error.contains("more than 3 MiB"), "{error}");
    }

    #[test]
    fn a_size_that_lies_is_no_help() {
        let mut bytes = archive(4 << 20);
        // The stated size stands in the local header and in the central directory.
        let stated = u32::try_from(4 << 20).unwrap().to_le_bytes();
        let places: Vec<usize> = (0..bytes.len() - 3)
            .filter(|i| bytes[*i..*i + 4] == stated)
            .collect();
        assert!(places.len() >= 2, "{places:?}");
        for place in places {
            bytes[place..place + 4].copy_from_slice(&10_u32.to_le_bytes());
        }
        assert!(at_most(&bytes, 1 << 20).is_err());
    }

    #[test]
    fn what_is_no_archive_says_so() {
        let error = at_most(b"PK\x03\x04 nothing", 1 << 20)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no workbook"), "{error}");
    }
}
