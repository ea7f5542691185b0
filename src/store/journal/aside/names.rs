//! Names of the files beside a journal: `readings-aside.db`, and `readings-aside-2.db` once that is damaged.

use std::path::{Path, PathBuf};

/// The file with a number, from 1.
pub(super) fn numbered(journal: &Path, number: u32) -> PathBuf {
    let stem = journal.file_stem().unwrap_or_default().to_string_lossy();
    journal.with_file_name(match number {
        1 => format!("{stem}-aside.db"),
        number => format!("{stem}-aside-{number}.db"),
    })
}

/// The number in a file's name, if it is one of them.
pub(in crate::store) fn number_of(journal: &Path, name: &str) -> Option<u32> {
    let stem = journal.file_stem()?.to_str()?;
    let of = name.strip_prefix(stem)?.strip_prefix("-aside")?;
    let of = of.strip_suffix(".db")?;
    if of.is_empty() {
        return Some(1);
    }
    let digits = of.strip_prefix('-')?;
    let number: u32 = digits.parse().ok().filter(|number| *number > 1)?;
    // One name for each number.
    (digits == number.to_string()).then_some(number)
}

/// Those that are there, in the order in which they were made.
pub(in crate::store) fn files_beside(journal: &Path) -> Vec<PathBuf> {
    let folder = journal.parent().filter(|dir| !dir.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or_else(|| Path::new(".")));
    let names = entries.into_iter().flatten().filter_map(Result::ok);
    let mut numbers: Vec<u32> = names
        .filter_map(|entry| number_of(journal, entry.file_name().to_str()?))
        .collect();
    numbers.sort_unstable();
    let files = numbers.into_iter().map(|number| numbered(journal, number));
    files.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_one_name_and_only_these_are_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("readings.db");
        for number in [1, 2, 12] {
            let path = numbered(&journal, number);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(number_of(&journal, name), Some(number), "{name}");
            std::fs::write(path, b"").unwrap();
        }
        for other in [
            "readings.db",
            "readings-aside.db-wal",
            "readings-aside-1.db",
            "readings-aside-02.db",
            "readings-aside-x.db",
            "readings-aside.db.lock",
            "other-aside.db",
        ] {
            assert_eq!(number_of(&journal, other), None, "{other}");
            std::fs::write(dir.path().join(other), b"").unwrap();
        }
        let found = files_beside(&journal);
        assert_eq!(found, [1, 2, 12].map(|number| numbered(&journal, number)));
    }
}
