//! Asking the running daemon, whose address is in its data directory.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longer than the daemon lets a request take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

const JSON: &str = "application/json";

/// The daemon on this machine that has a data directory open.
#[derive(Debug)]
pub(super) struct Daemon {
    address: String,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Daemon {
    /// From the address it wrote into its data directory.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let file = data_dir.join("address");
        let address = fs::read_to_string(&file).with_context(|| {
            format!(
                "no daemon has written {}; start `qiliang run`",
                file.display()
            )
        })?;
        Ok(Self {
            address: address.trim().to_owned(),
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// GET.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(&format!("GET {path}"), JSON, b"")
    }

    /// POST of JSON, and JSON as an answer.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.answered(&format!("POST {path}"), JSON, &serde_json::to_vec(body)?)
    }

    /// POST of a file, and JSON as an answer.
    pub(super) fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &[u8],
    ) -> anyhow::Result<T> {
        self.answered(&format!("POST {path}"), "application/octet-stream", body)
    }

    fn answered<T: DeserializeOwned>(
        &self,
        request: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<T> {
        let answer = self.ask(request, kind, body)?;
        if answer.status != 200 {
            let problem: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
            let text = |key: &str| Some(problem.as_ref()?.get(key)?.as_str()?.to_owned());
            let detail = text("detail").unwrap_or_else(|| answer.body.clone());
            let code = text("code").unwrap_or_else(|| format!("HTTP {}", answer.status));
            return Err(anyhow!(
                "the daemon on {} refused: {detail} [{code}]",
                self.address
            ));
        }
        serde_json::from_str(&answer.body)
            .with_context(|| format!("the daemon on {} is of another version", self.address))
    }

    fn ask(&self, request: &str, kind: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let address = &self.address;
        let mut stream = TcpStream::connect(address)
            .with_context(|| format!("the daemon does not answer on {address}"))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .with_context(|| format!("the daemon on {address} did not answer in time"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("what listens on {address} does not speak HTTP"))?;
        Ok(Answer {
            status,
            body: body.to_owned(),
        })
    }
}
