use super::*;
use crate::clock::ManualClock;
use crate::domain::frame::{RejectReason, Transport};
use crate::domain::id::DeviceId;
use proptest::prelude::*;

fn read(kind: BodyKind, body: &[u8]) -> Result<Vec<Message>, BodyError> {
    messages(kind, body, None, 3)
}

fn codes(messages: &[Message]) -> Vec<(String, Option<String>, Option<String>)> {
    messages
        .iter()
        .map(|m| {
            (
                m.at.clone(),
                m.device.as_ref().map(ToString::to_string),
                m.refusal.as_ref().map(|r| r.code.clone()),
            )
        })
        .collect()
}

#[test]
fn content_types_are_known_whatever_their_parameters() {
    for (text, kind) in [
        ("application/json", Some(BodyKind::Json)),
        ("Application/JSON; charset=utf-8", Some(BodyKind::Json)),
        ("application/x-ndjson", Some(BodyKind::Ndjson)),
        ("application/cbor", Some(BodyKind::Cbor)),
        (BodyKind::FRAMES, Some(BodyKind::Frames)),
        ("text/plain", None),
        ("", None),
    ] {
        assert_eq!(BodyKind::of(text), kind, "{text}");
    }
}

#[test]
fn a_message_keeps_its_bytes_as_they_stand() {
    let one = read(
        BodyKind::Json,
        b" { \"dev\" : \"TX-1\", \"std_m3\":\"1.50\" } ",
    )
    .unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(
        one[0].bytes.as_ref(),
        b"{ \"dev\" : \"TX-1\", \"std_m3\":\"1.50\" }"
    );
    let many = read(BodyKind::Json, br#"[{"dev":"A","x":1.0},{"x":2},7]"#).unwrap();
    assert_eq!(
        codes(&many),
        [
            ("/0".into(), Some("A".into()), None),
            ("/1".into(), None, Some("push.no_device".into())),
            ("/2".into(), None, Some("push.message".into())),
        ]
    );
    assert_eq!(many[0].bytes.as_ref(), br#"{"dev":"A","x":1.0}"#);
    let lines = read(BodyKind::Ndjson, b"\n{\"dev\":\"A\"}\r\n\n{\"dev\":\n").unwrap();
    assert_eq!(
        codes(&lines),
        [
            ("line 2".into(), Some("A".into()), None),
            ("line 4".into(), None, Some("push.message".into())),
        ]
    );
}

#[test]
fn the_request_may_name_the_device_and_must_agree_with_the_message() {
    let asked = DeviceId::from("A");
    let body = br#"[{"x":1},{"dev":"A"},{"dev":"B"}]"#;
    let messages = messages(BodyKind::Json, body, Some(&asked), 9).unwrap();
    assert_eq!(
        codes(&messages),
        [
            ("/0".into(), Some("A".into()), None),
            ("/1".into(), Some("A".into()), None),
            ("/2".into(), None, Some("push.device_mismatch".into())),
        ]
    );
    for dev in ["\"\"".to_owned(), format!("\"{}\"", "x".repeat(65))] {
        let body = format!("{{\"dev\":{dev}}}");
        let messages = read(BodyKind::Json, body.as_bytes()).unwrap();
        assert_eq!(messages[0].refusal.as_ref().unwrap().code, "push.no_device");
    }
    // The same key twice: which one counts would depend on who reads.
    let messages = read(BodyKind::Json, br#"{"dev":"A","dev":"B"}"#).unwrap();
    assert_eq!(messages[0].refusal.as_ref().unwrap().code, "push.message");
}

#[test]
fn a_body_that_is_wrong_as_a_whole_is_refused_as_a_whole() {
    for (kind, body, code) in [
        (BodyKind::Json, &b"{\"dev\":\"A\""[..], "push.body"),
        (BodyKind::Json, b"[{\"dev\":\"A\"},", "push.body"),
        (BodyKind::Json, b"[] x", "push.body"),
        (BodyKind::Json, b"[]", "push.empty"),
        (BodyKind::Json, b"  ", "push.empty"),
        (BodyKind::Ndjson, b"\n\n", "push.empty"),
        (BodyKind::Cbor, b"", "push.empty"),
        (BodyKind::Cbor, b"\xa1", "push.body"),
        (BodyKind::Json, b"[1,2,3,4]", "push.too_many"),
        (BodyKind::Ndjson, b"1\n2\n3\n4", "push.too_many"),
    ] {
        let error = read(kind, body).unwrap_err();
        assert_eq!(error.code(), code, "{kind:?} {body:?}: {error}");
    }
}

#[test]
fn a_map_of_cbor_is_an_object_of_json() {
    // {"dev": "A", "std_m3": 4([-2, 150])}
    let body = hex::decode("a263646576614166737464 5f6d33c482211896".replace(' ', "")).unwrap();
    let messages = read(BodyKind::Cbor, &body).unwrap();
    assert_eq!(codes(&messages), [("/0".into(), Some("A".into()), None)]);
    assert_eq!(
        messages[0].bytes.as_ref(),
        br#"{"dev":"A","std_m3":"1.50"}"#
    );
}

#[test]
fn frames_of_a_file_keep_origin_time_and_bytes() {
    let body = br#"{"origin":"a.csv:2","device":"A","received_at":"2026-11-21T08:00:00+08:00","hex":"6830"}
{"origin":"a.csv:3","device":null,"received_at":"2026-11-21T08:00:00+08:00","hex":"6"}"#;
    let frames = read(BodyKind::Frames, body).unwrap();
    assert_eq!(frames[0].origin.as_deref(), Some("a.csv:2"));
    assert_eq!(frames[0].bytes.as_ref(), [0x68, 0x30]);
    assert!(frames[1].refusal.is_some());
}

struct Rig {
    push: Push,
    sender: Option<mpsc::Sender<Delivery>>,
    queue: mpsc::Receiver<Delivery>,
}

fn rig(queue_len: usize, tokens: Option<Arc<CredentialFile<Tokens>>>) -> Rig {
    let (sender, queue) = mpsc::channel(queue_len);
    let settings = PushSettings {
        tokens_file: None,
        address: None,
        tls: None,
        body_max_bytes: 1_000,
        unpacked_max_bytes: 1_000,
        messages_max: 100,
        requests_max: 2,
        connections_max: 100,
        requests_per_minute: 3,
        queue_wait_s: 1,
    };
    let gate = Gate::new(tokens, Some("local.secret".into()));
    let clock = Arc::new(ManualClock::new("2026-11-21T04:00:00Z".parse().unwrap()));
    Rig {
        push: Push::new(settings, gate, clock, &sender),
        sender: Some(sender),
        queue,
    }
}

fn frames(count: u8) -> Vec<RawFrame> {
    (0..count)
        .map(|n| RawFrame {
            transport: Transport::Http,
            origin: "test".into(),
            device: Some(DeviceId::from("A")),
            bytes: vec![n].into(),
            received_at: "2026-11-21T04:00:00Z".parse().unwrap(),
        })
        .collect()
}

#[tokio::test]
async fn outcomes_come_in_the_order_of_the_frames_whatever_the_order_of_commits() {
    let mut rig = rig(10, None);
    let ingest = async {
        let mut held = Vec::new();
        while held.len() < 3 {
            held.push(rig.queue.recv().await.unwrap());
        }
        for delivery in held.into_iter().rev() {
            let outcome = match delivery.frame.bytes[0] {
                0 => FrameOutcome::Accepted,
                1 => FrameOutcome::Duplicate,
                _ => FrameOutcome::Rejected(RejectReason::new("x.y", "why")),
            };
            delivery.ack.tell(outcome);
        }
    };
    let (outcomes, ()) = tokio::join!(rig.push.take(frames(3)), ingest);
    assert_eq!(
        outcomes.unwrap(),
        [
            FrameOutcome::Accepted,
            FrameOutcome::Duplicate,
            FrameOutcome::Rejected(RejectReason::new("x.y", "why")),
        ]
    );
}

#[tokio::test]
async fn without_room_in_time_not_one_frame_is_taken() {
    let mut rig = rig(4, None);
    let sender = rig.sender.clone().unwrap();
    for frame in frames(2) {
        let ack = Ack::none();
        sender.try_send(Delivery { frame, ack }).unwrap();
    }
    assert_eq!(rig.push.take(frames(3)).await, Err(TakeError::Busy));
    assert_eq!(rig.queue.len(), 2, "nothing half-stored");
    assert_eq!(rig.push.messages_max(), 4);
    // There is room for two: they go, and the journal gives them up.
    let give_up = async {
        for _ in 0..4 {
            drop(rig.queue.recv().await.unwrap());
        }
    };
    let (taken, ()) = tokio::join!(rig.push.take(frames(2)), give_up);
    assert_eq!(taken, Err(TakeError::NotCommitted));
    drop(sender);
    rig.sender = None;
    assert_eq!(rig.push.take(frames(1)).await, Err(TakeError::Stopped));
    while rig.queue.recv().await.is_some() {}
}

#[test]
fn requests_are_counted_by_token_and_minute() {
    let rig = rig(1, None);
    let start = Instant::now();
    let (one, two) = (Token::local("one"), Token::local("two"));
    for _ in 0..3 {
        assert_eq!(rig.push.count(&one, start), None);
    }
    assert_eq!(rig.push.count(&one, start), Some(Duration::from_mins(1)));
    assert_eq!(rig.push.count(&two, start), None);
    for _ in 0..10 {
        assert_eq!(rig.push.count(&Token::local(LOCAL), start), None);
    }
    let later = start + Duration::from_mins(1);
    assert_eq!(rig.push.count(&one, later), None);
}

#[tokio::test]
async fn places_and_keys_are_given_back() {
    let rig = rig(1, None);
    let places = (
        rig.push.place().await.unwrap(),
        rig.push.place().await.unwrap(),
    );
    assert_eq!(rig.push.place().await.unwrap_err(), TakeError::Busy);
    drop(places);
    assert!(rig.push.place().await.is_ok());
    // Bodies on their way take room, and no place.
    let slow = rig.push.room(64 << 20).await.unwrap();
    assert!(rig.push.place().await.is_ok());
    assert_eq!(rig.push.room(1).await.unwrap_err(), TakeError::Busy);
    drop(slow);
    assert!(rig.push.room(usize::MAX).await.is_ok());
    let held = rig.push.hold_key("t", "k").unwrap();
    assert!(rig.push.hold_key("t", "k").is_none());
    assert!(rig.push.hold_key("u", "k").is_some());
    drop(held);
    assert!(rig.push.hold_key("t", "k").is_some());
}

#[test]
fn without_tokens_this_machine_and_with_them_their_holders() {
    let open = rig(1, None).push;
    assert_eq!(open.gate().admit(None).unwrap().id(), "loopback");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let (shown, line) = credentials::new_token("gw", ":devices=A").unwrap();
    fs::write(&path, line).unwrap();
    let file = Arc::new(CredentialFile::load(&path).unwrap());
    let closed = rig(1, Some(file)).push;
    assert!(closed.gate().admit(None).is_none());
    assert!(closed.gate().admit(Some("gw.x")).is_none());
    assert_eq!(closed.gate().admit(Some(&shown)).unwrap().id(), "gw");
    let local = closed.gate().admit(Some("local.secret")).unwrap();
    assert!(local.rights().is_all());
}

#[test]
fn the_local_secret_is_new_in_each_run_and_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let first = write_local_secret(dir.path()).unwrap();
    let second = write_local_secret(dir.path()).unwrap();
    assert_ne!(first, second);
    let path = dir.path().join(LOCAL_SECRET_FILE);
    assert_eq!(fs::read_to_string(&path).unwrap(), second);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(write_local_secret(&dir.path().join("gone")).is_err());
}

proptest! {
    #[test]
    fn no_body_makes_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in [BodyKind::Json, BodyKind::Ndjson, BodyKind::Cbor, BodyKind::Frames] {
            messages(kind, &bytes, None, 10).ok();
        }
    }

    #[test]
    fn no_json_like_text_makes_it_fall_over(text in "[\\[\\]{}\",:a-d0-9 \\\\ev\n.-]{0,80}") {
        for kind in [BodyKind::Json, BodyKind::Ndjson, BodyKind::Frames] {
            for message in messages(kind, text.as_bytes(), None, 10).into_iter().flatten() {
                prop_assert!(message.refusal.is_some() || message.device.is_some() || kind == BodyKind::Frames);
            }
        }
    }
}
