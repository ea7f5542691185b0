//! Debian's mosquitto as a broker we did not write.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian puts it.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// A mosquitto on a loopback port, with its files in a directory of the test; killed when dropped.
pub(crate) struct Mosquitto {
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one with persistence, no queue limit and a wide in-flight window, on `port` or a free
    /// one. None, and a loud line, if mosquitto is not installed.
    pub(crate) fn start(port: Option<u16>, dir: &Path) -> Option<Self> {
        Self::start_with(port, dir, "allow_anonymous true\n")
    }

    /// The same with a user and password that clients must give.
    pub(crate) fn start_with_password(dir: &Path, user: &str, password: &str) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let file = dir.join("passwords");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&file)
            .args([user, password])
            .output()
            .expect("mosquitto_passwd comes with mosquitto");
        assert!(made.status.success(), "{made:?}");
        let lines = format!("allow_anonymous false\npassword_file {}\n", file.display());
        Self::start_with(None, dir, &lines)
    }

    /// One with the limits it has out of the box: 20 in flight, 1,000 queued.
    pub(crate) fn start_stock(dir: &Path) -> Option<Self> {
        let broker = Self::start_with(None, dir, "allow_anonymous true\nsys_interval 1\n")?;
        Some(broker.limited("max_inflight_messages 20\nmax_queued_messages 1000\n"))
    }

    /// One as we advise it: a window as wide as ours, a queue without end.
    pub(crate) fn start_wide(dir: &Path) -> Option<Self> {
        let broker = Self::start_with(None, dir, "allow_anonymous true\nsys_interval 1\n")?;
        Some(broker.limited("max_inflight_messages 2000\nmax_queued_messages 0\n"))
    }

    fn limited(mut self, lines: &str) -> Self {
        let file = self.dir.join("mosquitto.conf");
        let config = fs::read_to_string(&file).unwrap();
        let kept = config.lines().filter(|line| !line.starts_with("max_"));
        let config = kept.collect::<Vec<_>>().join("\n");
        fs::write(&file, format!("{config}\n{lines}")).unwrap();
        self.restart();
        self
    }

    /// One with a second listener; `lines` say what it speaks. Returns its port too.
    pub(crate) fn start_with_listener(dir: &Path, lines: &str) -> Option<(Self, u16)> {
        let second = free_port();
        let lines = format!("allow_anonymous true\nlistener {second} 127.0.0.1\n{lines}\n");
        let broker = Self::start_with(None, dir, &lines)?;
        Some((broker, second))
    }

    pub(crate) fn start_with(port: Option<u16>, dir: &Path, lines: &str) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let port = port.unwrap_or_else(free_port);
        // Started by root, mosquitto changes to a user of its own, which could not write here.
        let config = format!(
            "listener {port} 127.0.0.1\n\
             persistence true\n\
             persistence_location {}/\n\
             autosave_interval 1\n\
             user root\n\
             max_inflight_messages 100\n\
             max_queued_messages 0\n\
             log_type error\n\
             log_type warning\n\
             {lines}",
            dir.display()
        );
        fs::write(dir.join("mosquitto.conf"), config).unwrap();
        let mut broker = Self {
            dir: dir.to_owned(),
            port,
            child: None,
        };
        broker.run();
        Some(broker)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash does; what it has not written is gone.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it in order (it writes its sessions), and starts it anew on the same port.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = Command::new("kill")
                .arg(child.id().to_string())
                .status()
                .unwrap();
            assert!(ended.success());
            child.wait().unwrap();
        }
    }

    /// Starts it on the port it had.
    pub(crate) fn run(&mut self) {
        let log = fs::File::create(self.dir.join("mosquitto.log")).unwrap();
        let child = Command::new(PROGRAM)
            .arg("-c")
            .arg(self.dir.join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let began = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let log = || fs::read_to_string(self.dir.join("mosquitto.log")).unwrap_or_default();
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "mosquitto does not listen on {address}: {}",
                log()
            );
            #[expect(
                clippy::disallowed_methods,
                reason = "no runtime here, and nothing to wait on"
            )]
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn is_installed() -> bool {
    let is_there = Path::new(PROGRAM).exists();
    if !is_there {
        println!("SKIPPED: mosquitto not found; apt-get install mosquitto");
    }
    is_there
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
