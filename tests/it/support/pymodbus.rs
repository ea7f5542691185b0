//! A Modbus server we did not write: pymodbus, run by a script of `tests/e2e`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The server; it ends with the value.
pub(crate) struct Pymodbus {
    child: Child,
    /// The line it says when it listens.
    pub(crate) told: String,
}

impl Pymodbus {
    /// Starts a script; none where the test suite has no Python with pymodbus.
    pub(crate) fn start(script: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        #[expect(
            clippy::disallowed_methods,
            reason = "how the test suite hands over its tools"
        )]
        let python = std::env::var("QILIANG_TEST_PYTHON")
            .map_or_else(|_| root.join("target/test-venv/bin/python"), PathBuf::from);
        if !python.exists() {
            return None;
        }
        let mut child = Command::new(python)
            .arg(root.join("tests/e2e").join(script))
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut told)
            .unwrap();
        Some(Self { child, told })
    }
}

impl Drop for Pymodbus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
