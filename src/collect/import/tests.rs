#![expect(clippy::indexing_slicing, reason = "a panic is a test's failure")]

use std::fs;

use super::*;
use crate::decode::DecodeContext;
use crate::decode::{JSON_PUSH, ProfileSet};
use crate::domain::id::ProfileId;
use crate::domain::reading::{Item, ItemValue};

fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-22T09:00:00+08:00")
        .unwrap()
        .to_utc()
}

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn lines(path: &Path) -> Vec<Result<RawFrame, Box<RejectedFrame>>> {
    ImportFile::open(path, now()).unwrap().collect()
}

fn header_error(folder: &Folder, header: &str) -> String {
    let path = folder.file("h.csv", format!("{header}\n"));
    ImportFile::open(&path, now()).unwrap_err().to_string()
}

#[test]
fn a_csv_row_takes_the_way_of_every_frame() {
    let folder = Folder::new();
    let path = folder.file(
        "history.csv",
        "\u{feff}device,sampled_at,total_std_m3,total_work_m3,flow_std_m3h,temperature_c,pressure_abs_kpa\r\n\
         TX-1,2026-11-21T08:00:00+08:00,3586401.1116,1180213.42,948.1,15,301.325\r\n\
         \"TX \"\"2\"\"\",2026/11/21 8:05,,88.5,,,\r\n",
    );
    let frames: Vec<RawFrame> = lines(&path).into_iter().map(Result::unwrap).collect();
    assert_eq!(frames.len(), 2);
    let (set, problems) =
        ProfileSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles"));
    assert!(problems.is_empty());
    let bound = ProfileId::from("fuxin/fx-corrector");
    let decoded: Vec<_> = frames
        .iter()
        .map(|frame| {
            let profile = set.for_frame(frame, &bound).unwrap();
            assert_eq!(profile.id().as_str(), JSON_PUSH);
            profile
                .decode(&frame.bytes, &DecodeContext::at(frame.received_at))
                .unwrap()
        })
        .collect();
    assert_eq!(frames[0].origin, format!("{}:2", path.display()));
    assert_eq!(frames[0].transport, Transport::Import);
    assert_eq!(frames[0].received_at, now());
    assert_eq!(decoded[0].device, frames[0].device);
    assert_eq!(
        decoded[0].values,
        [
            (Item::TotalStd, ItemValue::Exact(35_864_011_116)),
            (Item::TotalWork, ItemValue::Exact(11_802_134_200)),
            (Item::FlowStd, ItemValue::Float(948.1)),
            (Item::Temperature, ItemValue::Float(15.0)),
            (Item::PressureAbs, ItemValue::Float(301.325)),
        ]
    );
    assert_eq!(frames[1].device, Some(DeviceId::from("TX \"2\"")));
    assert_eq!(decoded[1].sampled_at, at("2026-11-21T08:05:00+08:00"));
    assert_eq!(
        decoded[1].values,
        [(Item::TotalWork, ItemValue::Exact(885_000))]
    );
}

#[test]
fn bad_rows_are_named_and_the_others_come_through() {
    let folder = Folder::new();
    let path = folder.file(
        "history.csv",
        b"device,sampled_at,total_std_m3,received_at\n\
          TX-1,yesterday,1,\n\
          ,2026-11-21T08:00:00+08:00,1,\n\
          TX-1,2026-11-21T08:00:00+08:00,,\n\
          TX-1,2026-11-21T08:00:00+08:00\n\
          TX-\xFF,2026-11-21T08:00:00+08:00,1,\n\
          TX-1,2026-11-21T08:00:00+08:00,7,2026-11-21T08:01:00+08:00\n",
    );
    let lines = lines(&path);
    let reasons: Vec<String> = lines
        .iter()
        .filter_map(|l| l.as_ref().err())
        .map(|r| {
            let place = r.frame.origin.rsplit(':').next().unwrap();
            format!("{place}: {}", r.reason.message)
        })
        .collect();
    insta::assert_snapshot!(reasons.join("\n"), @r"
    2: cell sampled_at is no time; write 2026-11-21T08:00:00+08:00, or 2026-11-21 08:00 Beijing time
    3: cell device is empty
    4: row has no total; fill total_std_m3 or total_work_m3
    5: row has 2 cells, the header has 4
    6: row is no UTF-8 text; save the file as UTF-8
    ");
    let good: Vec<&RawFrame> = lines.iter().filter_map(|l| l.as_ref().ok()).collect();
    assert_eq!(good.len(), 1);
    assert_eq!(good[0].received_at, at("2026-11-21T08:01:00+08:00"));
    assert_eq!(
        lines[0].as_ref().unwrap_err().frame.bytes.as_ref(),
        b"TX-1,yesterday,1,"
    );
}

#[test]
fn a_wrong_header_is_an_error_that_names_the_column() {
    let folder = Folder::new();
    let unknown = header_error(&folder, "device,sampled_at,total_m3");
    assert!(
        unknown.contains("h.csv:1: unknown column `total_m3`; known are"),
        "{unknown}"
    );
    let missing = header_error(&folder, "device,total_std_m3");
    assert!(
        missing.contains("column `sampled_at` is missing"),
        "{missing}"
    );
    let twice = header_error(&folder, "device,sampled_at,device,total_std_m3");
    assert!(twice.contains("there twice"), "{twice}");
    let empty = header_error(&folder, "");
    assert!(empty.contains(":1: "), "{empty}");
    let no_total = header_error(&folder, "device,sampled_at,temperature_c");
    assert!(
        no_total.contains("add total_std_m3 or total_work_m3"),
        "{no_total}"
    );
    let name = ImportFile::open(&folder.file("x.xlsx", ""), now()).unwrap_err();
    assert!(name.to_string().contains("call it .csv"), "{name}");
    let gone = ImportFile::open(&folder.0.path().join("gone.csv"), now()).unwrap_err();
    assert!(matches!(gone, ImportError::Unreadable { .. }));
}

#[test]
fn a_capture_keeps_the_bytes_of_the_device() {
    let folder = Folder::new();
    let path = folder.file(
        "capture.ndjson",
        r#"{"received_at":"2026-11-21T08:00:05+08:00","topic":"gas/a/b/TX-1/up/reading","json":{"std_m3":1.50,  "dev":"TX-1"}}

{"device":"TX-2","hex":"68 30 16"}
{"device":"TX-2"}
not json
{"hex":"6"}
{"hex":"68","colour":1}"#,
    );
    let file = ImportFile::open(&path, now())
        .unwrap()
        .with_topics(Box::new(|topic| {
            topic.split('/').nth(3).map(DeviceId::from)
        }));
    let lines: Vec<_> = file.collect();
    let first = lines[0].as_ref().unwrap();
    assert_eq!(first.bytes.as_ref(), br#"{"std_m3":1.50,  "dev":"TX-1"}"#);
    assert_eq!(first.device, Some(DeviceId::from("TX-1")));
    assert_eq!(first.received_at, at("2026-11-21T08:00:05+08:00"));
    let second = lines[1].as_ref().unwrap();
    assert_eq!(second.origin, format!("{}:3", path.display()));
    assert_eq!(second.bytes.as_ref(), [0x68, 0x30, 0x16]);
    assert_eq!(second.received_at, now());
    let bad: Vec<&str> = lines[2..]
        .iter()
        .map(|l| {
            l.as_ref()
                .unwrap_err()
                .frame
                .origin
                .rsplit(':')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(bad, ["4", "5", "6", "7"]);
    assert_eq!(
        lines[3].as_ref().unwrap_err().frame.bytes.as_ref(),
        b"not json\n"
    );
}

#[test]
fn a_line_without_end_costs_one_reject_and_little_memory() {
    let folder = Folder::new();
    let mut content = vec![b'x'; 3 * LINE_MAX_BYTES];
    content.extend_from_slice(b"\n{\"hex\":\"68\"}\n");
    let lines = lines(&folder.file("long.jsonl", content));
    assert_eq!(lines.len(), 2);
    let long = lines[0].as_ref().unwrap_err();
    assert_eq!(long.reason.code, code::LINE);
    assert!(long.frame.bytes.len() <= 1_024);
    assert!(lines[1].as_ref().unwrap().origin.ends_with(":2"));
}

#[tokio::test]
async fn delivery_waits_for_the_journal_counts_lines_and_can_be_stopped() {
    let folder = Folder::new();
    let content = "{\"hex\":\"68\"}\n".repeat(20) + "bad\n";
    let path = folder.file("many.ndjson", content);
    let (sender, mut receiver) = mpsc::channel(2);
    let stop = CancellationToken::new();
    let file = ImportFile::open(&path, now()).unwrap();
    let sending = deliver(file, &sender, &stop);
    let receiving = async {
        let mut frames = Vec::new();
        while frames.len() < 21 {
            frames.push(receiver.recv().await.unwrap().frame);
        }
        frames
    };
    let (outcome, frames) = tokio::join!(sending, receiving);
    let outcome = outcome.unwrap();
    assert_eq!(
        (outcome.frames, outcome.rejected, outcome.sent),
        (20, 1, 21)
    );
    assert!(outcome.reports[0].contains("many.ndjson:21: line is no captured frame"));
    assert_eq!(frames[20].bytes.as_ref(), b"bad\n");

    stop.cancel();
    let file = ImportFile::open(&path, now()).unwrap();
    let outcome = deliver(file, &sender, &stop).await.unwrap();
    assert!(outcome.is_stopped);
    assert_eq!(outcome.sent, 0);

    drop(receiver);
    let file = ImportFile::open(&path, now()).unwrap();
    let error = deliver(file, &sender, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, ImportError::QueueClosed { .. }));
}
