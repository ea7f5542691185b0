use super::*;
use crate::domain::calendar::GasDayClock;
use crate::nudge::baseline::{HourQuality, HourUse};
use crate::nudge::draft::tests::sample;
use crate::nudge::measure::Outcome;
use crate::nudge::settlement::{Settled, settle};
use proptest::prelude::*;

fn nudge() -> Nudge {
    sample().nudges.remove(0)
}

/// A settlement of 4,600 m³ against `actual_m3` in four hours, at 1.15 元/m³.
fn settled(nudge: &Nudge, actual_m3: f64) -> Settlement {
    let mut nudge = nudge.clone();
    nudge.baseline.hours_m3h = vec![1150.0; 4];
    nudge.price_gap = crate::domain::quantity::YuanPerM3("1.15".parse().unwrap());
    let hour = HourUse {
        m3h: Some(actual_m3 / 4.0),
        quality: HourQuality::Measured,
    };
    let (clock, now) = (GasDayClock::default(), nudge.window_to + TimeDelta::days(1));
    match settle(&nudge, &[hour; 24], None, clock, now) {
        Settled::New(settlement) => *settlement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_message_says_when_why_what_and_for_how_much() {
    let text = Templates::built_in()
        .unwrap()
        .nudge(&nudge(), Language::Zh)
        .unwrap();
    for part in [
        "【避峰用气建议】企业I2",
        "17:00–21:00",
        "降低约 300 m³/h",
        "约 1,200 m³",
        "价差 1.05 元/m³ 约 1,260 元",
        "960 m³/h（已锁定",
        "自愿参与，安全生产优先",
        "22:00 后",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.len() <= BYTES_MAX);
    assert!(!text.contains("企业I1"), "no other enterprise is named");
}

#[test]
fn the_english_message_mirrors_it() {
    let text = Templates::built_in()
        .unwrap()
        .nudge(&nudge(), Language::En)
        .unwrap();
    assert!(
        text.contains("17:00–21:00") && text.contains("about 300 m³/h"),
        "{text}"
    );
    assert!(
        text.contains("Voluntary; production safety first"),
        "{text}"
    );
}

fn receipt(change: impl FnOnce(&mut Settlement), language: Language) -> String {
    let nudge = nudge();
    let mut settlement = settled(&nudge, 3680.0);
    change(&mut settlement);
    let templates = Templates::built_in().unwrap();
    templates.receipt(&nudge, &settlement, language).unwrap()
}

#[test]
fn a_receipt_claims_only_what_was_measured() {
    let text = receipt(|_| {}, Language::Zh);
    assert!(
        text.contains("基准 4,600 m³，实际 3,680 m³")
            && text.contains("削减 920 m³（20%），避免市场化支出约 1,058 元"),
        "{text}"
    );
    assert!(!text.contains("更正"), "{text}");
    let within_noise = |s: &mut Settlement| {
        s.result.outcome = Outcome::WithinNoise;
        s.result.is_claimed = false;
    };
    assert!(receipt(within_noise, Language::Zh).contains("不计削减量"));
    assert!(receipt(within_noise, Language::En).contains("no reduction is claimed"));
}

#[test]
fn a_receipt_says_what_is_estimated_or_missing_and_that_it_corrects_another() {
    let estimated = |s: &mut Settlement| {
        s.result.outcome = Outcome::Estimated;
        s.result.is_claimed = false;
        s.result.hours_estimated = 2;
    };
    let zh = receipt(estimated, Language::Zh);
    assert!(
        zh.contains("其中 2 小时为估算") && !zh.contains("削减 920"),
        "{zh}"
    );
    let en = receipt(estimated, Language::En);
    assert!(en.contains("2 h of it estimated"), "{en}");
    let missing = |s: &mut Settlement| {
        s.result.outcome = Outcome::Incomplete;
        s.result.is_claimed = false;
        s.result.hours_missing = 1;
        s.result.actual_m3 = None;
        s.result.reduction_m3 = None;
        s.result.reduction_ratio = None;
    };
    let zh = receipt(missing, Language::Zh);
    assert!(zh.contains("缺 1 小时") && !zh.contains("实际 0"), "{zh}");
    let en = receipt(missing, Language::En);
    assert!(en.contains("1 h of readings are missing"), "{en}");
    let corrects = |s: &mut Settlement| s.is_correction = true;
    assert!(receipt(corrects, Language::Zh).contains("更正"));
    assert!(receipt(corrects, Language::En).contains("orrect"));
}

#[test]
fn a_template_of_the_company_replaces_ours_and_a_wrong_name_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("day_ahead_zh.md");
    std::fs::write(&path, "您好 {{ name }}：{{ ask_m3h }}").unwrap();
    let text = Templates::load(dir.path())
        .unwrap()
        .nudge(&nudge(), Language::Zh)
        .unwrap();
    assert_eq!(text, "您好 企业I2：300");
    std::fs::write(
        &path,
        "{{ name }} {% if nobody %}{{ saved_yuan }}{% endif %}",
    )
    .unwrap();
    let error = Templates::load(dir.path()).unwrap_err();
    assert_eq!(error.code(), "nudge.template");
    let said = error.to_string();
    assert!(
        said.contains("day_ahead_zh.md") && said.contains("nobody, saved_yuan"),
        "{said}"
    );
    let nowhere = Templates::load(&dir.path().join("nowhere")).unwrap_err();
    assert_eq!(nowhere.code(), "nudge.template_read");
    std::fs::write(&path, "{{ unclosed").unwrap();
    assert_eq!(
        Templates::load(dir.path()).unwrap_err().code(),
        "nudge.template"
    );
}

#[test]
fn what_is_too_long_loses_its_reason_or_is_refused_but_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("day_ahead_zh.md");
    let long = "气".repeat(400);
    std::fs::write(
        &path,
        format!("{long}{{% if not is_brief %}}{long}{{% endif %}}"),
    )
    .unwrap();
    let templates = Templates::load(dir.path()).unwrap();
    assert_eq!(templates.nudge(&nudge(), Language::Zh).unwrap(), long);
    std::fs::write(&path, "气".repeat(700)).unwrap();
    let error = Templates::load(dir.path())
        .unwrap()
        .nudge(&nudge(), Language::Zh)
        .unwrap_err();
    assert!(
        matches!(error, MessageError::TooLong { bytes: 2100 }),
        "{error}"
    );
}

proptest! {
    #[test]
    fn no_name_breaks_the_message(name in "\\PC{0,300}", manager in "(?s).{0,300}") {
        let mut n = nudge();
        n.name = name;
        n.account_manager = manager;
        let templates = Templates::built_in().unwrap();
        for language in [Language::Zh, Language::En] {
            let text = templates.nudge(&n, language).unwrap();
            prop_assert!(text.len() <= BYTES_MAX);
            prop_assert!(text.lines().count() <= 8);
        }
    }
}
