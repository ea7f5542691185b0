//! Drafts load, assert what their frames say, and are refused with what to do.

use super::*;

fn id() -> ProfileId {
    ProfileId::from("acme/g25")
}

fn drafted(capture: &str, hints: &Hints) -> Result<Draft, DraftError> {
    draft(&id(), &frames(capture.as_bytes()), hints)
}

const NESTED: &str = r#"{"deviceId":"G-1","data":{"reportTime":"2026-11-21 08:00:00","totalVolume":"123.4567","pressure":301.3,"valve":"open"}}
{"deviceId":"G-1","data":{"reportTime":"2026-11-21 09:00:00","totalVolume":"124","battery":3.6},"hours":[1,2,3]}
"#;

#[test]
fn a_draft_from_json_loads_and_asserts_what_its_frames_say() {
    let draft = drafted(NESTED, &Hints::default()).unwrap();
    assert_eq!((draft.decoded, draft.refused), (2, 0));
    let profile = DeviceProfile::parse(Path::new("acme/g25.toml"), &draft.text).unwrap();
    assert!(!profile.is_verified());
    assert_eq!(profile.vectors().len(), 2);
    insta::assert_snapshot!("draft_json", draft.text);
}

#[test]
fn a_draft_from_hexadecimal_lines_of_cjt188_loads() {
    let frame = "68 30 01 00 00 05 08 00 00 81 16 1F 90 00 78 56 34 12 2C 00 00 00 00 2C 00 00 08 21 11 26 20 00 00 D8 16";
    let request = "68 30 01 00 00 05 08 00 00 01 03 1F 90 00 59 16";
    let draft = drafted(
        &format!("# two\n{frame}\nFEFE{request}\n"),
        &Hints::default(),
    )
    .unwrap();
    assert_eq!((draft.decoded, draft.refused), (1, 1));
    insta::assert_snapshot!("draft_cjt188", draft.text);
    // The same frame as one binary file.
    let bytes = hex::decode(frame.replace(' ', "")).unwrap();
    let binary = super::draft(&id(), &frames(&bytes), &Hints::default()).unwrap();
    assert_eq!(binary.decoded, 1);
}

#[test]
fn exported_rejects_are_unpacked_with_their_time() {
    let line =
        r#"{"received_at":"2026-11-21T00:00:00+00:00","hex":"7b2274223a317d","device":"D1"}"#;
    let frames = frames(line.as_bytes());
    assert_eq!(&frames[0].bytes[..], br#"{"t":1}"#);
    assert!(frames[0].received_at.is_some());
}

#[test]
fn what_cannot_be_drafted_says_what_to_do() {
    let said = |capture: &[u8], hints: &Hints| {
        draft(&id(), &frames(capture), hints)
            .unwrap_err()
            .to_string()
    };
    let none = Hints::default();
    assert!(said(b"# only a comment\n", &none).contains("no frame"));
    assert!(said(b"hello", &none).contains("device-profiles/README.md"));
    let no_time = said(br#"{"total":5,"n":1}"#, &none);
    assert!(
        no_time.contains("--time") && no_time.contains("/total"),
        "{no_time}"
    );
    let no_total = said(br#"{"ts":1763683200,"x":5}"#, &none);
    assert!(
        no_total.contains("--total") && no_total.contains("/x"),
        "{no_total}"
    );
    let mixed = said(
        b"68 03 03 68 08 01 72 7B 16\n68300100000508000001031F900059 16\n",
        &none,
    );
    assert!(mixed.contains("frame 2"), "{mixed}");
    let hinted = Hints {
        total: Some("/x".into()),
        ..Hints::default()
    };
    assert!(drafted(r#"{"ts":1763683200,"x":5}"#, &hinted).is_ok());
    let wrong = Hints {
        total: Some("/y".into()),
        ..Hints::default()
    };
    assert!(said(br#"{"ts":1763683200,"x":5}"#, &wrong).contains("no /y"));
}

#[test]
fn every_shape_is_known_by_one_row_only() {
    let samples: [(&str, Vec<u8>); 5] = [
        ("JSON objects", br#"{"a":1}"#.to_vec()),
        (
            "P1 telegrams",
            b"/ISK5\\2M550E-1012\r\n\r\n0-1:24.2.1(1)\r\n!ABCD\r\n".to_vec(),
        ),
        (
            "CJ/T 188 frames",
            hex::decode("68300100000508000001031F90005916").unwrap(),
        ),
        (
            "M-Bus long frames",
            hex::decode("680303680801727B16").unwrap(),
        ),
        ("CBOR maps", hex::decode("A1616101").unwrap()),
    ];
    for (name, bytes) in samples {
        let fitting: Vec<_> = KINDS
            .iter()
            .filter(|k| (k.fits)(&bytes))
            .map(|k| k.name)
            .collect();
        assert_eq!(fitting, [name]);
    }
}
