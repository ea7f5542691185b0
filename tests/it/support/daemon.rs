//! The real program as a process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::wait_for;

/// `qiliang run` as a child process; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    data_dir: PathBuf,
}

impl Daemon {
    /// Starts it; its log goes to `qiliang.log` beside the configuration.
    pub(crate) fn start(config: &Path, data_dir: &Path) -> Self {
        Self::start_with(config, data_dir, &[])
    }

    /// Starts it with variables in its environment.
    pub(crate) fn start_with(config: &Path, data_dir: &Path, vars: &[(&str, &str)]) -> Self {
        let log = config.with_file_name("qiliang.log");
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        drop(fs::remove_file(data_dir.join("address")));
        let child = Command::new(env!("CARGO_BIN_EXE_qiliang"))
            .args(["run", "--config"])
            .arg(config)
            .envs(vars.iter().copied())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            log,
            data_dir: data_dir.to_owned(),
        }
    }

    /// Waits until it serves; gives `127.0.0.1:port`.
    pub(crate) fn address(&mut self) -> String {
        let file = self.data_dir.join("address");
        wait_for("the daemon's address", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{}", self.log());
            }
            fs::read_to_string(&file)
                .ok()
                .filter(|text| !text.is_empty())
        })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -9`, to be started anew in the same place.
    pub(crate) fn kill_in_place(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// SIGTERM, then waits for the end.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(&pid).status().unwrap();
        assert!(sent.success());
        wait_for("the daemon to end after SIGTERM", || {
            self.child.try_wait().unwrap()
        })
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The first line it logs that says so, once it is there.
    pub(crate) fn logged(&self, words: &str) -> String {
        super::wait_for(&format!("`{words}` in the log"), || {
            let log = self.log();
            log.lines()
                .find(|line| line.contains(words))
                .map(str::to_owned)
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the program once and gives what it said.
pub(crate) fn qiliang(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qiliang"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
