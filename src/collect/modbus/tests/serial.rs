//! Serial frames through TCP: late, foreign, bent and glued answers.

use super::*;

/// A gateway that answers each request by hand, over serial frames: the script gets the request and
/// writes what it likes.
async fn serial_gateway<F, R>(listener: TcpListener, script: F)
where
    F: Fn(usize, [u8; 8], Arc<tokio::sync::Mutex<TcpStream>>) -> R,
    R: Future<Output = ()>,
{
    let mut asked = 0;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        loop {
            let mut request = [0_u8; 8];
            if stream.read_exact(&mut request).await.is_err() {
                break;
            }
            let line = Arc::new(tokio::sync::Mutex::new(stream));
            script(asked, request, Arc::clone(&line)).await;
            asked += 1;
            let Ok(back) = Arc::try_unwrap(line) else {
                break;
            };
            stream = back.into_inner();
        }
    }
}

/// A serial answer of one register.
fn serial_answer(unit: u8, register: u16) -> Vec<u8> {
    let mut frame = vec![unit, 3, 2];
    frame.extend_from_slice(&register.to_be_bytes());
    frame.extend_from_slice(&crc16(&frame).to_le_bytes());
    frame
}

/// What a healthy unit answers: its number times a thousand, plus the register.
fn own_answer(request: [u8; 8]) -> Vec<u8> {
    let register = u16::from_be_bytes([request[2], request[3]]);
    serial_answer(request[0], u16::from(request[0]) * 1_000 + register)
}

/// Every block of a frame holds what its own unit and register say.
fn assert_own_values(frame: &RawFrame) {
    let unit: u16 = frame.origin.strip_prefix("GW/").unwrap().parse().unwrap();
    for block in snapshot::decode(&frame.bytes).unwrap() {
        assert_eq!(block.registers, [unit * 1_000 + block.start], "{block:?}");
    }
}

#[tokio::test]
async fn a_late_serial_answer_is_taken_off_the_line_and_not_for_the_next_ones() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let mut server = JoinSet::new();
    // Unit 2 answers its first request only when unit 1 is asked next, and before it.
    let held = Arc::new(Mutex::new(None::<Vec<u8>>));
    let seen = Arc::clone(&held);
    server.spawn(async move {
        serial_gateway(listener, move |_, request, line| {
            let held = Arc::clone(&held);
            async move {
                let mut line = line.lock().await;
                let answer = own_answer(request);
                let is_first_of_two = request[0] == 2 && held.lock().unwrap().is_none();
                if is_first_of_two {
                    *held.lock().unwrap() = Some(answer);
                    return;
                }
                let late = held.lock().unwrap().as_mut().map(std::mem::take);
                if let Some(late) = late {
                    line.write_all(&late).await.ok();
                }
                line.write_all(&answer).await.ok();
            }
        })
        .await;
    });
    let mut polling = Polling::over(
        GatewayTransport::RtuOverTcp,
        address,
        &[1, 2],
        patience(200),
    );
    let frames = polling.until(&[1, 2], 5).await;
    for frame in &frames {
        assert_own_values(frame);
    }
    assert!(seen.lock().unwrap().as_ref().is_some_and(Vec::is_empty));
    let health = polling.end().await;
    assert_eq!(health[0].connects, 1, "the line was kept and emptied");
}

#[tokio::test]
async fn a_unit_whose_serial_answer_may_still_come_is_not_asked_while_it_may() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let asked_at = Arc::clone(&times);
    let mut server = JoinSet::new();
    server.spawn(async move {
        serial_gateway(listener, move |number, request, line| {
            let asked_at = Arc::clone(&asked_at);
            async move {
                asked_at.lock().unwrap().push(Instant::now());
                if number > 0 {
                    let mut line = line.lock().await;
                    line.write_all(&own_answer(request)).await.ok();
                }
            }
        })
        .await;
    });
    let settings = ModbusSettings {
        late_answer_max_ms: 700,
        ..patience(50)
    };
    let mut polling = Polling::over(GatewayTransport::RtuOverTcp, address, &[1], settings);
    assert_own_values(&polling.next().await);
    polling.end().await;
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_millis(700));
}

#[tokio::test]
async fn foreign_bent_short_and_glued_serial_answers_are_no_readings() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        serial_gateway(listener, |number, request, line| async move {
            let good = own_answer(request);
            let wrong = match number {
                0 => serial_answer(request[0] + 1, 666),
                1 => {
                    let mut bent = good.clone();
                    bent[4] ^= 0x10;
                    bent
                }
                2 => {
                    let mut short = vec![request[0], 3, 0];
                    short.extend_from_slice(&crc16(&short).to_le_bytes());
                    short
                }
                3 => [serial_answer(request[0], 666), good.clone()].concat(),
                _ => good,
            };
            line.lock().await.write_all(&wrong).await.ok();
        })
        .await;
    });
    let settings = ModbusSettings {
        late_answer_max_ms: 100,
        retry_delay_max_ms: 20,
        ..patience(100)
    };
    let mut polling = Polling::over(GatewayTransport::RtuOverTcp, address, &[1], settings);
    for _ in 0..3 {
        assert_own_values(&polling.next().await);
    }
    let health = polling.end().await;
    let meter = &health[0].meters[&MeterId::from("M-1")];
    assert_eq!(meter.retries + meter.errors, 4);
    assert_eq!(health[0].connects, 5);
}
