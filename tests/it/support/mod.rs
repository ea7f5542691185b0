//! What integration tests stand on: a site on disk, the real program as a process, free ports.

pub(crate) mod certificates;
pub(crate) mod daemon;
pub(crate) mod disk;
pub(crate) mod influx;
pub(crate) mod modbus_city;
pub(crate) mod mosquitto;
pub(crate) mod proxy;
pub(crate) mod publisher;
pub(crate) mod pymodbus;
pub(crate) mod site;
pub(crate) mod weather;

use std::time::{Duration, Instant};

/// Polls until `check` gives a value; says what was waited for when it never does.
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(
            started.elapsed() < Duration::from_mins(2),
            "waited two minutes for {what}"
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "a test that watches another process"
        )]
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Says aloud that a test cannot run here.
pub(crate) fn skipped(why: &str) {
    eprintln!("\nSKIPPED: {why}\n");
}
