use super::*;
use crate::nudge::Reply;
use crate::nudge::baseline::HourQuality;
use crate::nudge::draft::tests::sample;
use crate::plan::fixture::at;

/// 960 m³/h in 17:00 to 21:00 of 2026-11-21 or later, 300 m³/h less asked.
fn sent() -> Nudge {
    let mut nudge = sample().nudges.remove(0);
    nudge.state = NudgeState::Sent;
    nudge
}

fn hours(of_window: f64) -> [HourUse; 24] {
    std::array::from_fn(|hour| HourUse {
        m3h: Some(if (9..13).contains(&hour) {
            of_window
        } else {
            960.0
        }),
        quality: HourQuality::Measured,
    })
}

fn clock() -> GasDayClock {
    GasDayClock::default()
}

fn end(nudge: &Nudge) -> DateTime<Utc> {
    clock().end_of(nudge.day)
}

fn new(settled: Settled) -> Settlement {
    match settled {
        Settled::New(settlement) => *settlement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_is_settled_once_its_gas_day_is_over() {
    let nudge = sent();
    let early = settle(
        &nudge,
        &hours(700.0),
        None,
        clock(),
        end(&nudge) - TimeDelta::minutes(1),
    );
    assert_eq!(early, Settled::NotYet);
    let first = new(settle(&nudge, &hours(700.0), None, clock(), end(&nudge)));
    assert_eq!(first.result.outcome, Outcome::Reduced);
    assert_eq!(first.result.reduction_m3, Some(1040.0));
    assert_eq!(first.receipt, NudgeState::Draft);
    assert!(!first.is_correction);
    let later = end(&nudge) + TimeDelta::hours(1);
    assert_eq!(
        settle(&nudge, &hours(700.0), Some(&first), clock(), later),
        Settled::Unchanged
    );
}

#[test]
fn late_frames_are_waited_for_until_noon_and_then_it_is_said() {
    let nudge = sent();
    let mut day = hours(700.0);
    day[11] = HourUse {
        m3h: None,
        quality: HourQuality::Missing,
    };
    let eleven = end(&nudge) + TimeDelta::hours(3);
    assert_eq!(settle(&nudge, &day, None, clock(), eleven), Settled::NotYet);
    let noon = end(&nudge) + LATE_FRAMES_WAIT;
    let settled = new(settle(&nudge, &day, None, clock(), noon));
    assert_eq!(settled.result.outcome, Outcome::Incomplete);
    assert_eq!(settled.result.hours_missing, 1);
}

#[test]
fn a_late_reading_makes_a_new_version_and_a_receipt_that_left_is_corrected() {
    let nudge = sent();
    let now = end(&nudge);
    let mut first = new(settle(&nudge, &hours(700.0), None, clock(), now));
    first.receipt = NudgeState::Sent;
    // Use of another hour of the day: another version, the same receipt.
    let mut elsewhere = hours(700.0);
    elsewhere[20].m3h = Some(900.0);
    let second = new(settle(&nudge, &elsewhere, Some(&first), clock(), now));
    assert_eq!(second.receipt, NudgeState::Sent);
    assert!(!second.is_correction);
    // Use of the window: the receipt was wrong.
    let third = new(settle(&nudge, &hours(800.0), Some(&second), clock(), now));
    assert_eq!(third.receipt, NudgeState::Draft);
    assert!(third.is_correction);
    assert_eq!(third.result.reduction_m3, Some(640.0));
    // One that nobody has seen is simply another draft.
    first.receipt = NudgeState::Approved;
    let unseen = new(settle(&nudge, &hours(800.0), Some(&first), clock(), now));
    assert_eq!(unseen.receipt, NudgeState::Draft);
    assert!(!unseen.is_correction);
}

fn reply(answer: ReplyAnswer, m3h: Option<f64>, when: &str) -> Reply {
    Reply {
        answer,
        m3h,
        note: String::new(),
        who: "王".into(),
        at: at(when),
    }
}

#[test]
fn performance_is_measured_by_what_was_promised() {
    let mut nudge = sent();
    let now = end(&nudge);
    let asked = new(settle(&nudge, &hours(860.0), None, clock(), now));
    // 400 of 1200 m³.
    assert_eq!(asked.result.performance_ratio, Some(0.3333));
    nudge.reply = Some(reply(
        ReplyAnswer::Part,
        Some(100.0),
        "2026-11-20T16:00:00+08:00",
    ));
    let part = new(settle(&nudge, &hours(860.0), None, clock(), now));
    assert_eq!(part.result.performance_ratio, Some(1.0));
}

#[test]
fn response_rates_come_from_results_and_one_event_decides_nothing() {
    let nudge = sent();
    let now = end(&nudge);
    let asked: BTreeMap<String, i64> = BTreeMap::from([(nudge.id.clone(), 1200)]);
    let rate = |of: &[Settlement]| response_rates(of, &asked).get(&nudge.customer).copied();
    let of = |day: &[HourUse; 24]| new(settle(&nudge, day, None, clock(), now + LATE_FRAMES_WAIT));
    // All that was asked: (2 × 0.5 + 1) ÷ 3.
    let full = of(&hours(660.0));
    assert!((rate(std::slice::from_ref(&full)).unwrap() - 2.0 / 3.0).abs() < 1e-9);
    // Nothing: (2 × 0.5 + 0) ÷ 3; more than asked is no more than all.
    assert!((rate(&[of(&hours(960.0))]).unwrap() - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(
        rate(&[of(&hours(100.0))]),
        rate(std::slice::from_ref(&full))
    );
    // What is not known says nothing.
    let mut missing = hours(660.0);
    missing[9].m3h = None;
    missing[9].quality = HourQuality::Missing;
    assert_eq!(rate(&[of(&missing)]), None);
    // The last ten count: ten that gave all push out an older one that gave nothing.
    let many: Vec<Settlement> = (0..12)
        .map(|i| {
            let mut one = if i < 2 {
                of(&hours(960.0))
            } else {
                full.clone()
            };
            one.day = one.day.plus(i);
            one
        })
        .collect();
    assert!((rate(&many).unwrap() - 11.0 / 12.0).abs() < 1e-9);
}

#[test]
fn who_opted_out_or_answered_three_is_left_alone() {
    let mut nudge = sent();
    nudge.reply = Some(reply(ReplyAnswer::No, None, "2026-11-20T16:00:00+08:00"));
    let id = nudge.customer.clone();
    let rest = |when: &str| left_alone(&[nudge.clone()], &[], at(when)).contains(&id);
    assert!(rest("2026-11-20T16:01:00+08:00"));
    assert!(rest("2026-11-27T15:59:00+08:00"));
    assert!(!rest("2026-11-27T16:00:00+08:00"));
    let out = |is_opted_out| OptOut {
        customer: "C1".into(),
        is_opted_out,
        who: "王".into(),
        reason: "来电".into(),
        at: at("2026-11-01T16:00:00+08:00"),
    };
    let now = at("2027-11-01T16:00:00+08:00");
    assert!(left_alone(&[], &[out(true)], now).contains("C1"));
    assert!(left_alone(&[], &[out(false)], now).is_empty());
}
