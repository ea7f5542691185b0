//! Load profiles of the standard’s own examples, and times under one storage number.

use super::*;

#[test]
fn time_and_clock_may_be_of_two_types_under_one_storage_number() {
    let text = format!(
        "[mbus]\ntime = {{ storage = 0, type = \"f\" }}\nclock = {{ storage = 0, type = \"i\" }}\n{TOTAL}"
    );
    let decoded = decode(
        &profile(&text),
        &frame("01 13 01 04 6D 12 2D AF 29 06 6D 1E 12 0D AF 29 6D"),
    )
    .unwrap();
    assert_eq!(decoded.sampled_at.to_rfc3339(), "2021-09-15T05:18:00+00:00");
    assert_eq!(
        decoded.clock_at.map(|at| at.to_rfc3339()).as_deref(),
        Some("2021-09-15T05:18:30+00:00")
    );
}

/// EN 13757-3:2018, F.2.7: 123000 at midnight, then hours with 3, 2 and 11 more.
#[test]
fn the_standards_compact_profile() {
    let text = "[[frozen]]\nname = \"total_work\"\nunit = \"m3\"\ncompact = true\nstorage = 8\n";
    let decoded = decode(
        &profile(text),
        &frame("84 04 6D 00 20 41 11 8B 04 15 00 30 12 8D 04 95 1F 05 69 01 03 02 11"),
    )
    .unwrap();
    let [array] = &decoded.frozen[..] else {
        panic!("{decoded:?}");
    };
    assert_eq!(array.first_at.to_rfc3339(), "2009-12-31T17:00:00+00:00");
    assert_eq!(array.step_s, 3_600);
    assert_eq!(
        array.totals,
        [Some(123_003_000), Some(123_005_000), Some(123_016_000)]
    );
}

/// F.2.8, the same hours told backwards from 03:00, where the meter stood at 123016.
#[test]
fn the_standards_inverse_compact_profile() {
    let text = "[[frozen]]\nname = \"total_work\"\nunit = \"m3\"\ncompact = true\nstorage = 8\n";
    let decoded = decode(
        &profile(text),
        &frame("84 04 6D 00 23 41 11 8B 04 15 16 30 12 8D 04 95 13 05 69 01 11 02 03"),
    )
    .unwrap();
    let [array] = &decoded.frozen[..] else {
        panic!("{decoded:?}");
    };
    assert_eq!(array.first_at.to_rfc3339(), "2009-12-31T16:00:00+00:00");
    assert_eq!(
        array.totals,
        [Some(123_000_000), Some(123_003_000), Some(123_005_000)]
    );
}

/// OMS specification volume 2, annex G, tables G.6 and G.7: 1013 l on 2008-05-31, then 755, 423, 209
/// and 65 l at the ends of the months before.
#[test]
fn the_oms_profile_of_months() {
    let text = "[mbus]
medium = [7]
utc_offset_min = 0
[[frozen]]
name = \"total_work\"
unit = \"m3\"
compact = true
storage = 0
date_plus_s = 0
";
    let decoded = decode(
        &profile(text),
        &framed(
            "72 01 02 03 04 24 34 01 07 01 00 00 00",
            "0C 13 13 10 00 00 02 6C 1F 15 0D 93 13 0A 7A FE 58 02 32 03 14 02 44 01",
        ),
    )
    .unwrap();
    let told: Vec<(String, Option<i64>)> = decoded
        .frozen
        .iter()
        .map(|array| {
            (
                array.first_at.date_naive().to_string(),
                array.totals[0].map(|units| units / 10),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("2008-01-31".to_owned(), Some(65)),
            ("2008-02-29".to_owned(), Some(209)),
            ("2008-03-31".to_owned(), Some(423)),
            ("2008-04-30".to_owned(), Some(755)),
        ]
    );
}

#[test]
fn a_compact_profile_that_cannot_be_is_refused() {
    let text = "[[frozen]]\nname = \"total_work\"\nunit = \"m3\"\ncompact = true\nstorage = 8\n";
    let time = "84 04 6D 00 20 41 11";
    let base = "8B 04 15 00 30 12";
    for records in [
        format!("{time} {base}"),                                      // no profile
        format!("{base} 8D 04 95 1F 05 69 01 03 02 11"),               // no time
        format!("{time} 8D 04 95 1F 05 69 01 03 02 11"),               // increments of nothing
        format!("{time} {base} 8D 04 95 1F 01 69"),                    // no spacing
        format!("{time} {base} 8D 04 95 1F 02 69 01"),                 // no element
        format!("{time} {base} 8D 04 95 1F 05 6A 01 03 02 11"),        // half an element
        format!("{time} {base} 8D 04 95 1F 05 69 00 03 02 11"),        // spacing 0
        format!("{time} {base} 8D 04 95 1F 05 69 FB 03 02 11"),        // reserved spacing
        format!("{time} {base} 8D 04 95 1F 05 65 01 03 02 11"),        // floats
        format!("{time} {base} 8D 04 94 1F 05 69 01 03 02 11"),        // another unit
        format!("{time} {base} {base} 8D 04 95 1F 05 69 01 03 02 11"), // two bases
        format!("04 6D 00 20 41 11 {base} 8D 04 95 1F 05 69 01 03"),   // ends early
    ] {
        assert!(
            decode(&profile(text), &frame(&records)).is_err(),
            "{records}"
        );
    }
    // An element without a value: what follows it is not known.
    let decoded = decode(
        &profile(text),
        &frame(&format!("{time} {base} 8D 04 95 1F 05 69 01 03 FF 11")),
    );
    assert_eq!(
        decoded.unwrap().frozen[0].totals,
        [Some(123_003_000), None, None]
    );
}

#[test]
fn consecutive_storage_numbers_are_an_array_with_the_telegrams_step() {
    let text = "[[frozen]]\nname = \"total_work\"\nunit = \"m3\"\nstorage = 8\ncount = 3\nnewest_first = true\n";
    // Storage 8, 9, 10 (DIF with bit 6 and DIFE 04, 05); newest is that of 00:00; interval 1 hour.
    let hours = "01 FD 26 01 84 04 6D 00 20 41 11 82 04 13 0A 00 C2 04 13 09 00 82 05 13 08 00";
    let decoded = decode(&profile(text), &frame(hours)).unwrap();
    let [array] = &decoded.frozen[..] else {
        panic!("{decoded:?}");
    };
    assert_eq!(array.first_at.to_rfc3339(), "2009-12-31T14:00:00+00:00");
    assert_eq!(array.step_s, 3_600);
    assert_eq!(array.totals, [Some(80), Some(90), Some(100)]);
    // One number of the middle is missing; the interval is not told; none is there.
    let gap = hours.replace("C2 04 13 09 00", "");
    assert_eq!(
        decode(&profile(text), &frame(&gap)).unwrap().frozen[0].totals,
        [Some(80), None, Some(100)]
    );
    let stepless = hours.replace("01 FD 26 01", "");
    let reason = decode(&profile(text), &frame(&stepless)).unwrap_err();
    assert!(reason.message.contains("step_s"), "{reason}");
    let none = decode(&profile(text), &frame("84 04 6D 00 20 41 11")).unwrap_err();
    assert_eq!(none.code, reject::MISSING);
}
