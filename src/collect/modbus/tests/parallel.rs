//! Several connections to one gateway, and marks that follow the clock.

use super::*;

/// A gateway whose unit 9 takes long, and that works on as many requests as it has connections.
#[derive(Debug, Clone, Default)]
struct Wide {
    at_work: Arc<AtomicUsize>,
    at_work_max: Arc<AtomicUsize>,
    slow_at_work: Arc<AtomicUsize>,
    /// Answers of others while unit 9 was at work.
    overlaps: Arc<AtomicUsize>,
}

impl Wide {
    async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(self.clone().answer_all(stream));
        }
    }

    async fn answer_all(self, mut stream: TcpStream) {
        let mut request = [0_u8; 12];
        while stream.read_exact(&mut request).await.is_ok() {
            let unit = request[6];
            let at_work = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
            self.at_work_max.fetch_max(at_work, Ordering::SeqCst);
            if unit == 9 {
                self.slow_at_work.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                self.slow_at_work.fetch_sub(1, Ordering::SeqCst);
            } else if self.slow_at_work.load(Ordering::SeqCst) > 0 {
                self.overlaps.fetch_add(1, Ordering::SeqCst);
            }
            let register = u16::from(unit) * 1_000 + u16::from_be_bytes([request[8], request[9]]);
            let answer = answer(&request, [request[0], request[1]], register);
            self.at_work.fetch_sub(1, Ordering::SeqCst);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// Polls unit 9 and two quick ones through so many connections until the slow one was read thrice.
async fn poll_wide(parallel: u8) -> Wide {
    let (listener, address) = listen("127.0.0.1:0").await;
    let wide = Wide::default();
    let mut server = JoinSet::new();
    server.spawn(wide.clone().serve(listener));
    let gateway = Gateway {
        parallel,
        ..Gateway::tcp("GW".into(), address.ip().to_string(), address.port())
    };
    let mut polling = Polling::behind(gateway, &[1, 2, 9], settings());
    for frame in polling.until(&[1, 2, 9], 3).await {
        let unit: i64 = frame.origin.strip_prefix("GW/").unwrap().parse().unwrap();
        assert_eq!(total(&frame), unit * 1_000 + 10);
    }
    polling.end().await;
    wide
}

#[tokio::test]
async fn a_gateway_that_can_do_so_is_asked_through_several_connections_at_once() {
    let wide = poll_wide(2).await;
    assert_eq!(wide.at_work_max.load(Ordering::SeqCst), 2);
    assert!(wide.overlaps.load(Ordering::SeqCst) > 0);
    // One connection, one request at a time.
    let narrow = poll_wide(1).await;
    assert_eq!(narrow.at_work_max.load(Ordering::SeqCst), 1);
    assert_eq!(narrow.overlaps.load(Ordering::SeqCst), 0);
}

#[test]
fn marks_that_follow_the_clock_are_whole_periods_of_the_civil_day() {
    let settings = ModbusSettings {
        is_clock_aligned: true,
        ..settings()
    };
    let seven_past = start() + chrono::TimeDelta::minutes(7);
    for (period_s, at) in [
        (60, start()),
        (900, start()),
        (900, seven_past),
        (3_600, seven_past),
    ] {
        let clock = Arc::new(ScaledClock::running(at, 1.0));
        let (sender, _receiver) = mpsc::channel(1);
        let around = Surroundings {
            settings: Arc::new(settings.clone()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            health: Arc::new(ModbusHealth::default()),
            sender,
        };
        let gateway = Gateway::tcp("GW".into(), "127.0.0.1".to_owned(), 502);
        let bus = Bus::new(gateway, around);
        let asked_at = (Instant::now(), clock.now());
        let mark = bus.mark_after(Duration::from_secs(period_s), asked_at.0);
        let doubt = asked_at.0.elapsed() + Duration::from_millis(2);
        let mark_at = asked_at.1 + (mark - asked_at.0);
        let period_ms = i64::try_from(period_s * 1_000).unwrap();
        let into_ms = (mark_at.timestamp_millis() + period_ms / 2).rem_euclid(period_ms);
        let off_ms = (into_ms - period_ms / 2).unsigned_abs();
        assert!(
            u128::from(off_ms) <= doubt.as_millis(),
            "{period_s} s: {off_ms} ms off at {mark_at}"
        );
        assert!(mark_at > asked_at.1 && mark_at <= asked_at.1 + Duration::from_secs(period_s + 2));
    }
}
