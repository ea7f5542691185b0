//! What the broker remembers of us, written down.
//!
//! A persistent session keeps its subscriptions at the broker whatever our configuration says
//! later, and a broker can lose it without a word. Both show only if we remember on our side:
//! which session there was, and which filters it had.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::BrokerSettings;

/// A session at a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    host: String,
    port: u16,
    client_id: String,
    filters: BTreeSet<String>,
}

/// The file of one broker's session, and what is in it.
#[derive(Debug)]
pub(super) struct Memory {
    file: PathBuf,
    session: Session,
}

impl Memory {
    /// Reads the file in `dir`; one that is missing, of another session or unreadable stands for
    /// no session.
    pub(super) async fn load(broker: &BrokerSettings, dir: &Path) -> Self {
        let file = dir.join(format!("mqtt-{}.session.json", file_name(&broker.name)));
        let none = Session {
            host: broker.host.clone(),
            port: broker.port,
            client_id: broker.client_id.clone(),
            filters: BTreeSet::new(),
        };
        let found = tokio::fs::read(&file)
            .await
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Session>(&bytes).ok());
        let session = found
            .filter(|s| (&s.host, s.port, &s.client_id) == (&none.host, none.port, &none.client_id))
            .unwrap_or(none);
        Self { file, session }
    }

    /// The filters the broker has, as far as we know; none means no session.
    pub(super) fn filters(&self) -> &BTreeSet<String> {
        &self.session.filters
    }

    /// Writes down a new set, if it is new.
    pub(super) async fn remember(&mut self, filters: BTreeSet<String>) -> io::Result<()> {
        if self.session.filters == filters {
            return Ok(());
        }
        self.session.filters = filters;
        let bytes = serde_json::to_vec_pretty(&self.session)?;
        let new = self.file.with_extension("json.new");
        let file = self.file.clone();
        let write = move || -> io::Result<()> {
            let mut out = std::fs::File::create(&new)?;
            io::Write::write_all(&mut out, &bytes)?;
            out.sync_all()?;
            std::fs::rename(&new, &file)
        };
        tokio::task::spawn_blocking(write)
            .await
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// A broker's name as part of a file's: anything else than letters and digits as its code.
fn file_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() || letter == '-' || letter == '_' {
            out.push(letter);
        } else {
            // Writing to a String cannot fail.
            write!(out, "%{:x}", u32::from(letter)).ok();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(client_id: &str) -> BrokerSettings {
        let text = format!("name = \"主/1\"\nhost = \"h\"\nclient_id = \"{client_id}\"");
        toml::from_str(&text).unwrap()
    }

    #[tokio::test]
    async fn a_session_is_remembered_and_another_is_not_mistaken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let filters: BTreeSet<String> = ["a/+".to_owned()].into();
        let mut memory = Memory::load(&broker("one"), dir.path()).await;
        assert!(memory.filters().is_empty());
        memory.remember(filters.clone()).await.unwrap();
        assert!(memory.file().ends_with("mqtt-%4e3b%2f1.session.json"));
        let again = Memory::load(&broker("one"), dir.path()).await;
        assert_eq!(again.filters(), &filters);
        let other = Memory::load(&broker("two"), dir.path()).await;
        assert!(other.filters().is_empty());
    }

    #[tokio::test]
    async fn a_file_cut_short_stands_for_no_session() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory::load(&broker("one"), dir.path()).await;
        memory.remember(["a".to_owned()].into()).await.unwrap();
        std::fs::write(memory.file(), "{\"host\":").unwrap();
        let again = Memory::load(&broker("one"), dir.path()).await;
        assert!(again.filters().is_empty());
    }
}
