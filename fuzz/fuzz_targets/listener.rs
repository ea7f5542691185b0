//! A peer of the listener that sends anything: its connection ends, the listener does not.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use qiliang::clock::SystemClock;
use qiliang::collect::listen::{self, ListenHealth, Ports};
use qiliang::collect::topic::TopicSet;
use qiliang::settings;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longer than this no connection may take whose peer has said all it has to say.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

struct Served {
    address: SocketAddr,
    _runtime: Runtime,
}

fn serve() -> Served {
    let mut settings = settings::load(None).expect("the defaults are valid");
    let topics = TopicSet::new(&settings.mqtt.topic).expect("the default topics are valid");
    // Every input is a connection of its own, all from one address: 0 is no limit.
    settings.mqtt.listen.connects_per_minute = 0;
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, mut receiver) = mpsc::channel(64);
    runtime.spawn(async move {
        while let Some(delivery) = receiver.recv().await {
            let delivery: qiliang::collect::Delivery = delivery;
            delivery.ack.done();
        }
    });
    let task = listen::serve(
        Ports::plain(listener),
        settings.mqtt.listen,
        None,
        Arc::new(topics),
        Arc::new(SystemClock),
        sender,
        Arc::new(ListenHealth::default()),
        CancellationToken::new(),
    );
    runtime.spawn(async move {
        let ended = task.await;
        eprintln!("the listener ended: {ended:?}");
        std::process::abort();
    });
    Served {
        address,
        _runtime: runtime,
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static SERVED: OnceLock<Served> = OnceLock::new();
    let mut stream = TcpStream::connect(SERVED.get_or_init(serve).address).expect("it listens");
    stream.set_read_timeout(Some(CLOSED_WITHIN)).expect("a timeout");
    // It may have closed before all is written.
    if stream.write_all(data).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        let mut answer = [0; 1_024];
        loop {
            match stream.read(&mut answer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("a connection whose peer has finished stays open");
                }
                Err(_) => break,
            }
        }
    }
});
