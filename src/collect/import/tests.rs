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
    let name = ImportFile::open(&folder.file("x.xls", ""), now()).unwrap_err();
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

#[test]
fn columns_are_known_by_the_names_other_systems_give_them() {
    let folder = Folder::new();
    let path = folder.file(
        "dtu.csv",
        "\u{8868}\u{53f7},\u{91c7}\u{96c6}\u{65f6}\u{95f4},GTotal,BTotal,GFlow,BFlow,T,Err,Alarm\n\
         TX-1,2026/11/21 8:00,1180213.42,3586401.1116,312,948.1,15,0,0\n",
    );
    let frames: Vec<RawFrame> = lines(&path).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        std::str::from_utf8(&frames[0].bytes).unwrap(),
        r#"{"v":1,"via":"csv","dev":"TX-1","ts":"2026-11-21T08:00:00+08:00","std_m3":"3586401.1116","work_m3":"1180213.42","q_std":"948.1","q_work":"312","t_c":"15"}"#
    );
    let vendor = folder.file("v.csv", "dev,ts,data_vb,data_vm,data_t,data_qb,data_qm\n");
    assert!(lines(&vendor).is_empty());
    for name in ["Pa", "data_p"] {
        let error = header_error(&folder, &format!("device,sampled_at,BTotal,{name}"));
        assert!(
            error.contains("pressure_abs_kpa or pressure_gauge_kpa"),
            "{error}"
        );
    }
    let twice = header_error(&folder, "device,sampled_at,BTotal,data_vb");
    assert!(twice.contains("total_std_m3 is there twice"), "{twice}");
}

#[test]
fn packed_files_are_read_by_their_second_extension() {
    use std::io::Write as _;
    let folder = Folder::new();
    let pack = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let csv = pack("device,sampled_at,total_std_m3\nTX-1,2026-11-21T08:00:00+08:00,1.5\n");
    let path = folder.file("h.CSV.gz", &csv);
    let read = lines(&path);
    assert_eq!(read.len(), 1);
    assert!(read[0].as_ref().unwrap().origin.ends_with("h.CSV.gz:2"));
    let points = folder.file(
        "p.lp.gz",
        pack("# all\n\nm,device=TX-1 BTotal=1.5 1795219200000000000\n"),
    );
    assert!(lines(&points)[0].as_ref().unwrap().origin.ends_with(":3"));
    // A file that breaks off gives what it has, and says that it did.
    let cut = folder.file(
        "cut.ndjson.gz",
        &pack(&"{\"hex\":\"68\"}\n".repeat(20_000))[..40],
    );
    let last = lines(&cut).pop().unwrap().unwrap_err();
    assert_eq!(last.reason.code, code::UNREADABLE);
    assert!(ImportFile::open(&folder.file("x.gz", ""), now()).is_err());
}

#[test]
fn a_workbook_is_the_same_table() {
    use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
    let folder = Folder::new();
    let mut workbook = Workbook::new();
    let cover = workbook.add_worksheet();
    cover.write(0, 0, "\u{8bf4}\u{660e}").unwrap();
    let sheet = workbook.add_worksheet();
    sheet.write(0, 0, "2026 \u{5e74}\u{8bfb}\u{6570}").unwrap();
    for (column, name) in ["device", "sampled_at", "BTotal", "total_work_m3", "T"]
        .into_iter()
        .enumerate()
    {
        sheet
            .write(2, u16::try_from(column).unwrap(), name)
            .unwrap();
    }
    let date = Format::new().set_num_format("yyyy-mm-dd hh:mm:ss");
    let at = ExcelDateTime::parse_from_str("2026-11-21T08:00:01").unwrap();
    sheet.write(3, 0, "TX-1").unwrap();
    sheet.write_with_format(3, 1, &at, &date).unwrap();
    sheet.write(3, 2, 3_586_401.111_6).unwrap();
    sheet.write(3, 3, "1180213.42").unwrap();
    sheet.write(3, 4, 15).unwrap();
    sheet.write(4, 0, 123_456_789_012_f64).unwrap();
    sheet.write(4, 1, "2026-11-21 09:00").unwrap();
    sheet.write(4, 2, 0.1 + 0.2).unwrap();
    // A serial number that nobody formatted as a date.
    sheet.write(6, 0, "TX-3").unwrap();
    sheet.write(6, 1, 46_347.333_333_333_336).unwrap();
    sheet.write(6, 3, 7).unwrap();
    sheet.write(7, 0, "TX-4").unwrap();
    sheet.write(7, 1, true).unwrap();
    sheet.write(7, 2, 7).unwrap();
    let path = folder.file("h.xlsx", workbook.save_to_buffer().unwrap());
    let read = lines(&path);
    let text = |index: usize| {
        let frame = read[index].as_ref().unwrap();
        let place = frame.origin.rsplit(':').next().unwrap();
        format!("{place} {}", std::str::from_utf8(&frame.bytes).unwrap())
    };
    insta::assert_snapshot!([text(0), text(1), text(2)].join("\n"), @r#"
    4 {"v":1,"via":"csv","dev":"TX-1","ts":"2026-11-21T08:00:01+08:00","std_m3":"3586401.1116","work_m3":"1180213.42","t_c":"15"}
    5 {"v":1,"via":"csv","dev":"123456789012","ts":"2026-11-21T09:00:00+08:00","std_m3":"0.3"}
    7 {"v":1,"via":"csv","dev":"TX-3","ts":"2026-11-21T08:00:00+08:00","work_m3":"7"}
    "#);
    assert_eq!(read.len(), 4);
    let bad = read[3].as_ref().unwrap_err();
    assert!(bad.frame.origin.ends_with(":8"), "{}", bad.frame.origin);
    assert!(bad.reason.message.contains("sampled_at is no time"));

    let mut empty = Workbook::new();
    empty.add_worksheet().write(0, 0, "a").unwrap();
    let path = folder.file("e.xlsx", empty.save_to_buffer().unwrap());
    let error = ImportFile::open(&path, now()).unwrap_err();
    assert!(error.to_string().contains("there is no header"), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_csv_makes_it_fall_over(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let folder = Folder::new();
        let whole = [&b"device,sampled_at,total_std_m3\n"[..], &bytes].concat();
        for line in lines(&folder.file("h.csv", whole)) {
            if let Err(reject) = line {
                proptest::prop_assert!(!reject.reason.message.is_empty());
            }
        }
    }
}
