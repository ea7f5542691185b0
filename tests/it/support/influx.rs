//! A real InfluxDB 2, if `QILIANG_TEST_INFLUXD` names a program that starts one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use qiliang::domain::calendar::GasDayClock;
use qiliang::settings::InfluxSettings;
use qiliang::store::influx::Influx;

use super::{free_port, wait_for};

/// A server that ends with this value.
pub(crate) struct InfluxServer {
    start: PathBuf,
    dir: PathBuf,
    port: u16,
    pub(crate) url: String,
    pub(crate) token: String,
    pid: u32,
}

impl InfluxServer {
    /// None if there is no program to start.
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        let start = PathBuf::from(std::env::var_os("QILIANG_TEST_INFLUXD")?);
        let mut server = Self {
            start,
            dir: dir.join("influx"),
            port: free_port(),
            url: String::new(),
            token: String::new(),
            pid: 0,
        };
        server.start_again();
        Some(server)
    }

    /// On the same files and port.
    pub(crate) fn start_again(&mut self) {
        let output = Command::new(&self.start)
            .args([self.dir.as_os_str(), self.port.to_string().as_ref()])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said: BTreeMap<&str, &str> = text
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .collect();
        said["URL"].clone_into(&mut self.url);
        said["TOKEN"].clone_into(&mut self.token);
        self.pid = said["PID"].parse().unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let pid = self.pid.to_string();
        assert!(
            Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success()
        );
        // Not our child: it is gone when its port can be bound.
        wait_for("the server to end", || {
            std::net::TcpListener::bind(("127.0.0.1", self.port))
                .ok()
                .map(drop)
        });
        self.pid = 0;
    }

    /// `[influx]` for the daemon, with the token in a file.
    pub(crate) fn config(&self, dir: &Path) -> String {
        let file = dir.join("influx-token");
        std::fs::write(&file, format!("{}\n", self.token)).unwrap();
        config(&self.url, &file)
    }

    /// A client of our own.
    pub(crate) fn client(&self) -> Influx {
        client(&self.url, &self.token)
    }
}

/// `[influx]` of a server at an address.
pub(crate) fn config(url: &str, token_file: &Path) -> String {
    format!(
        "[influx]\nurl = \"{url}\"\ntoken_file = {token_file:?}\nretry_delay_min_ms = 50\nretry_delay_max_ms = 500\n"
    )
}

pub(crate) fn client(url: &str, token: &str) -> Influx {
    Influx::new(settings(url), token.to_owned(), GasDayClock::default()).unwrap()
}

/// Settings as a test wants them: short waits.
pub(crate) fn settings(url: &str) -> InfluxSettings {
    InfluxSettings {
        url: url.to_owned(),
        org: "gas".to_owned(),
        bucket: "gas_readings".to_owned(),
        bucket_hourly: "gas_hourly".to_owned(),
        token_file: None,
        token: None,
        tags: BTreeMap::new(),
        create_buckets: true,
        keep_days: 1_095,
        keep_hourly_days: 0,
        batch_lines: 5_000,
        batch_bytes: 4 << 20,
        timeout_s: 30,
        retry_delay_min_ms: 50,
        retry_delay_max_ms: 500,
    }
}

/// Debian's InfluxDB 1.6, for its InfluxQL.
pub(crate) struct InfluxOne {
    child: Child,
    pub(crate) url: String,
}

impl InfluxOne {
    /// None if it is not installed.
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        let program = Path::new("/usr/bin/influxd");
        if !program.exists() {
            return None;
        }
        let (port, rpc) = (free_port(), free_port());
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n\
             [meta]\ndir = {:?}\n[data]\ndir = {:?}\nwal-dir = {:?}\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n[monitor]\nstore-enabled = false\n",
            dir.join("one/meta"),
            dir.join("one/data"),
            dir.join("one/wal"),
        );
        let file = dir.join("influxdb-one.conf");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.join("influxdb-one.log")).unwrap();
        let child = Command::new(program)
            .args(["run", "-config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for("InfluxDB 1.6", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        })
    }

    /// By its own interface: it has no v2 one. A database that was just made may be answered for with "not
    /// found" a moment longer, by writing and by reading.
    pub(crate) async fn write(&self, database: &str, lines: &[String]) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = async |q: String| {
            let request = http.post(format!("{}/query", self.url));
            let answer = request.query(&[("q", q)]).send().await.unwrap();
            assert!(answer.status().is_success());
            answer.text().await.unwrap()
        };
        let body = lines.join("\n");
        for _ in 0..200 {
            ask(format!("CREATE DATABASE \"{database}\"")).await;
            let request = http
                .post(format!("{}/write", self.url))
                .query(&[("db", database), ("precision", "ms")])
                .body(body.clone());
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let said = answer.text().await.unwrap();
            let is_missing = status == 404 && said.contains("not found");
            assert!(status == 204 || is_missing, "{status}: {said}");
            let seen = ask("SHOW DATABASES".to_owned()).await;
            if !is_missing && seen.contains(&format!("\"{database}\"")) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("`{database}` was made and is not there");
    }
}

impl Drop for InfluxOne {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for InfluxServer {
    fn drop(&mut self) {
        if self.pid != 0 {
            drop(
                Command::new("kill")
                    .args(["-9", &self.pid.to_string()])
                    .status(),
            );
        }
    }
}
