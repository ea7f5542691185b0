//! Where a test ends the process as `kill -9` would: on either side of each step of a commit.
//!
//! Builds without debug assertions, such as releases, have nothing of it.

/// A step of the writer that is about to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundary {
    /// To begin a transaction.
    Begin,
    /// To commit what was written in it.
    Commit,
    /// To tell those who wait that it is on disk.
    Answer,
    /// To wait for the next, everyone having been told.
    Rest,
}

/// Ends the process at a boundary, if the environment asks for it:
/// `QILIANG_CRASH_AT=readings.db/commit/17` is before the 17th commit to that file.
#[cfg(debug_assertions)]
#[derive(Debug, Default)]
pub(super) struct CrashPoint {
    at: Option<(Boundary, u64)>,
    passed: u64,
}

#[cfg(debug_assertions)]
impl CrashPoint {
    #[expect(
        clippy::disallowed_methods,
        reason = "no setting: what only tests may ask for must not be in a configuration"
    )]
    pub(super) fn of(file: &str) -> Self {
        let at = std::env::var("QILIANG_CRASH_AT").ok().and_then(|text| {
            let mut parts = text.split('/');
            if parts.next()? != file {
                return None;
            }
            let boundary = match parts.next()? {
                "begin" => Boundary::Begin,
                "commit" => Boundary::Commit,
                "answer" => Boundary::Answer,
                "rest" => Boundary::Rest,
                _ => return None,
            };
            Some((boundary, parts.next()?.parse().ok()?))
        });
        Self { at, passed: 0 }
    }

    pub(super) fn pass(&mut self, boundary: Boundary) {
        let Some((at, count)) = self.at else { return };
        if at != boundary {
            return;
        }
        self.passed += 1;
        if self.passed == count {
            let pid = std::process::id().to_string();
            // The signal may need a moment; nothing may happen meanwhile.
            if std::process::Command::new("kill")
                .args(["-9", &pid])
                .status()
                .is_err()
            {
                std::process::abort();
            }
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(not(debug_assertions))]
#[derive(Debug, Default)]
pub(super) struct CrashPoint;

#[cfg(not(debug_assertions))]
impl CrashPoint {
    pub(super) fn of(_file: &str) -> Self {
        Self
    }

    pub(super) fn pass(&mut self, _boundary: Boundary) {}
}
