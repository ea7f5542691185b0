//! The files beside the journal that take what the journal cannot.
//!
//! SQLite refuses to write where it meets a damaged page, and a commit cannot always do without it: a free page
//! that it needs, a page of one of the small tables, the header. Then the delivery goes here whole, in one
//! commit of a sound file, and may be acknowledged. When the journal is opened again each of them is committed
//! as if it came then; `meta` of the journal says in the same transaction how far that is, so that nothing is
//! taken twice, and the file is removed once nothing is left in it. `qiliang salvage` does the same to the
//! files that it writes.
//!
//! A file that is damaged itself is left as it is, and a fresh one begun beside it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::{CommitReport, JournalEntry};
use super::file::{OneFile, Taken};
use super::heap::Heap;
use super::names;
use crate::domain::calendar::GasDayClock;
use crate::store::damage::Damage;
use crate::store::error::StoreError;

/// After so long the journal is tried again, since not every commit meets what is damaged.
const TRY_AGAIN: Duration = Duration::from_mins(1);
/// Fresh files begun for one delivery at most.
const FRESH_MAX: usize = 3;

/// The files, in the order in which they were made; the last takes what comes.
#[derive(Debug)]
pub(in crate::store::journal) struct AsideFiles {
    journal: PathBuf,
    files: Vec<OneFile>,
    /// When and why the journal refused what it was to take.
    refused: Option<(Instant, StoreError)>,
}

impl AsideFiles {
    /// Those beside a journal, of which there may be none.
    pub(in crate::store::journal) fn beside(journal: &Path) -> Self {
        let files = names::files_beside(journal).into_iter().map(OneFile::at);
        Self {
            journal: journal.to_owned(),
            files: files.collect(),
            refused: None,
        }
    }

    /// Deliveries that are in them alone.
    pub(in crate::store::journal) fn waiting(&self) -> u64 {
        self.files.iter().map(|file| file.heap().len()).sum()
    }

    /// The same in numbers.
    pub(in crate::store::journal) fn heap(&self) -> Heap {
        let mut heap = Heap::default();
        for file in &self.files {
            heap.join(file.heap());
        }
        heap
    }

    /// Names of the files, and of those that are damaged.
    pub(in crate::store::journal) fn names(&self) -> (Vec<String>, Vec<String>) {
        let damaged = self.files.iter().filter(|file| file.refusal().is_some());
        (
            self.files.iter().map(OneFile::name).collect(),
            damaged.map(OneFile::name).collect(),
        )
    }

    /// What is wrong with those that are damaged.
    pub(in crate::store::journal) fn refusals(&self) -> Vec<String> {
        let refused = self.files.iter().filter_map(OneFile::refusal);
        refused.map(ToString::to_string).collect()
    }

    /// Why the journal takes nothing at present, if so.
    pub(in crate::store::journal) fn refusal(&self) -> Option<&StoreError> {
        self.refused.as_ref().map(|(_, error)| error)
    }

    /// Whether the journal is to be tried.
    ///
    /// # Errors
    /// Why it refused a moment ago.
    pub(in crate::store::journal) fn pass(&self) -> Result<(), StoreError> {
        match &self.refused {
            Some((at, error)) if at.elapsed() < TRY_AGAIN => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The journal takes what comes.
    pub(in crate::store::journal) fn taken(&mut self) {
        self.refused = None;
    }

    /// The journal cannot take anything.
    pub(in crate::store::journal) fn refuse(&mut self, error: StoreError) {
        self.refused = Some((Instant::now(), error));
    }

    /// Keeps what the journal could not take, if that is because of its file; where the last file beside it is
    /// damaged, too, in a fresh one.
    ///
    /// # Errors
    /// Why the journal could not, or what is wrong with the disk; nothing may be acknowledged then.
    pub(in crate::store::journal) fn keep(
        &mut self,
        entries: &[JournalEntry],
        error: StoreError,
    ) -> Result<CommitReport, StoreError> {
        if !error.is_of_file() {
            return Err(error);
        }
        if self.pass().is_ok() {
            self.refuse(error);
        }
        let rejected = entries
            .iter()
            .filter(|e| matches!(e, JournalEntry::Reject(_)));
        let rejected = rejected.count() as u64;
        let count = entries.len() as u64;
        if count > 0 {
            self.write(entries)?;
        }
        Ok(CommitReport {
            accepted: count - rejected,
            set_aside: count - rejected,
            rejected,
            ..CommitReport::default()
        })
    }

    fn write(&mut self, entries: &[JournalEntry]) -> Result<(), StoreError> {
        let mut fresh = 0;
        loop {
            let file = match self
                .files
                .last_mut()
                .filter(|file| file.refusal().is_none())
            {
                Some(file) => file,
                None => self.begin(),
            };
            match file.write(entries) {
                Err(error) if error.is_of_file() && fresh < FRESH_MAX => {
                    file.refuse(error);
                    fresh += 1;
                }
                written => return written,
            }
        }
    }

    /// A file after the last.
    fn begin(&mut self) -> &mut OneFile {
        let last = self.files.last().and_then(|file| {
            let name = file.path().file_name()?.to_str()?;
            names::number_of(&self.journal, name)
        });
        let number = last.map_or(1, |last| last.saturating_add(1));
        let file = OneFile::at(names::numbered(&self.journal, number));
        self.files.push_mut(file)
    }

    /// Looks what is in the files; `journal` says what of it was taken, if it can be read. What is wrong with
    /// a file is remembered with it.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::store::journal) fn count(
        &mut self,
        journal: Option<&Connection>,
    ) -> Result<(), StoreError> {
        self.each(|file| file.count(journal))
    }

    /// The same beside whoever writes to them.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::store::journal) fn look(
        &mut self,
        journal: &Connection,
    ) -> Result<(), StoreError> {
        self.each(|file| {
            file.open_read_only()?;
            file.count(Some(journal))
        })
    }

    fn each(
        &mut self,
        mut work: impl FnMut(&mut OneFile) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for file in &mut self.files {
            match work(file) {
                Err(error) if error.is_of_file() => file.refuse(error),
                done => done?,
            }
        }
        Ok(())
    }

    /// Commits to the journal what is in the files, and removes those in which nothing is left; what of it
    /// cannot be read is told and stays.
    ///
    /// # Errors
    /// The journal refuses; what is not taken stays.
    pub(in crate::store::journal) fn take_in(
        &mut self,
        journal: &Path,
        c: &Connection,
        clock: GasDayClock,
    ) -> Result<Vec<Damage>, StoreError> {
        let mut damage = Vec::new();
        let mut left = Vec::new();
        let mut outcome = Ok(());
        for mut file in std::mem::take(&mut self.files) {
            if outcome.is_ok() && file.refusal().is_none() {
                match file.take_in(journal, c, clock) {
                    Ok(Taken::Whole) => continue,
                    Ok(Taken::Part(lost)) => damage.push(lost),
                    Err(error) if error.is_of_file() && error.path() == file.path() => {
                        file.refuse(error);
                    }
                    Err(error) => outcome = Err(error),
                }
            }
            left.push(file);
        }
        self.files = left;
        outcome.map(|()| damage)
    }

    /// Hands every delivery that the journal does not have to `take`; those in damaged files are passed over.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::store::journal) fn for_each(
        &self,
        journal: &Connection,
        take: &mut dyn FnMut(JournalEntry),
    ) -> Result<(), StoreError> {
        for file in &self.files {
            match file.for_each(journal, take) {
                Err(error) if error.is_of_file() => {}
                read => read?,
            }
        }
        Ok(())
    }

    /// What is wrong with them.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::store::journal) fn damage(&self) -> Result<Vec<Damage>, StoreError> {
        let mut damage = Vec::new();
        for file in &self.files {
            damage.extend(file.damage()?);
        }
        Ok(damage)
    }
}
