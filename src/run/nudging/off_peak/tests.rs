use chrono::TimeDelta;

use super::*;
use crate::nudge::Reply;
use crate::nudge::draft::tests::sample;
use crate::nudge::measure::Measured;
use crate::plan::fixture::at;

fn nudge(state: NudgeState) -> Nudge {
    let mut nudge = sample().nudges.remove(0);
    nudge.state = state;
    nudge
}

fn replied(answer: ReplyAnswer, when: &str) -> At<Nudge> {
    let mut nudge = nudge(NudgeState::Replied);
    nudge.reply = Some(Reply {
        answer,
        m3h: None,
        note: String::new(),
        who: "王磊".into(),
        at: at(when),
    });
    (at(when), nudge)
}

fn settled(day: &str, outcome: Outcome, reduction_m3: f64, saved: &str) -> At<Settlement> {
    let of = nudge(NudgeState::Sent);
    let result = Measured {
        outcome,
        hours: vec![],
        hours_estimated: 0,
        hours_missing: 0,
        baseline_m3: 3_840.0,
        actual_m3: Some(3_840.0 - reduction_m3),
        reduction_m3: Some(reduction_m3),
        reduction_p10_m3: None,
        reduction_p90_m3: None,
        reduction_ratio: None,
        noise_m3: 100.0,
        committed_m3: 1_200.0,
        performance_ratio: Some(reduction_m3 / 1_200.0),
        rebound_m3: None,
        day_reduction_m3: None,
        is_claimed: outcome == Outcome::Reduced,
        saved: crate::domain::quantity::Yuan(saved.parse().unwrap()),
    };
    let settlement = Settlement {
        nudge: of.id,
        customer: of.customer,
        day: day.parse().unwrap(),
        result,
        receipt: NudgeState::Draft,
        is_correction: false,
        settled_at: at("2026-11-22T09:00:00+08:00"),
    };
    (settlement.settled_at, settlement)
}

fn only(mut records: BTreeMap<CustomerId, OffPeakRecord>) -> OffPeakRecord {
    assert_eq!(records.len(), 1);
    records.pop_first().unwrap().1
}

#[test]
fn the_last_event_counts_and_all_that_was_saved_is_summed() {
    // The store tells the newest first.
    let results = [
        settled("2026-11-21", Outcome::Reduced, 600.0, "690.10"),
        settled("2026-11-14", Outcome::Reduced, 1_200.0, "1380.25"),
        settled("2026-11-07", Outcome::WithinNoise, 50.0, "0"),
    ];
    let record = only(records(&[], &results, &[]));
    assert_eq!(record.event_on, Some("2026-11-21".parse().unwrap()));
    assert_eq!(record.reduction_m3, Some(600.0));
    assert_eq!(record.performance_ratio, Some(0.5));
    assert_eq!(
        record.saved_yuan.map(|y| y.to_string()).as_deref(),
        Some("2070.35")
    );
    // Results that wait for their receipts are no contact.
    assert_eq!((record.willingness, record.contacted_on), (None, None));
}

#[test]
fn what_rests_on_estimates_is_not_shown_as_measured() {
    let result = settled("2026-11-21", Outcome::Estimated, 600.0, "0");
    let record = only(records(&[], &[result], &[]));
    assert_eq!(record.event_on, Some("2026-11-21".parse().unwrap()));
    assert_eq!(
        (record.reduction_m3, record.performance_ratio),
        (None, None)
    );
}

#[test]
fn the_last_answer_is_the_willingness_and_opting_out_outlasts_it() {
    let answers = [
        replied(ReplyAnswer::Part, "2026-11-20T18:00:00+08:00"),
        replied(ReplyAnswer::No, "2026-11-12T18:00:00+08:00"),
    ];
    let record = only(records(&answers, &[], &[]));
    assert_eq!(record.willingness, Some(OffPeakWillingness::Partly));
    let opt_out = OptOut {
        customer: answers[0].1.customer.clone(),
        is_opted_out: true,
        who: "王磊".into(),
        reason: "来电".into(),
        at: at("2026-11-13T09:00:00+08:00"),
    };
    let out = [(opt_out.at, opt_out.clone())];
    let record = only(records(&answers, &[], &out));
    assert_eq!(record.willingness, Some(OffPeakWillingness::OptedOut));
    assert_eq!(record.contacted_on, "2026-11-20".parse().ok());
    let back = OptOut {
        is_opted_out: false,
        ..opt_out
    };
    let record = only(records(&answers, &[], &[(back.at, back)]));
    assert_eq!(record.willingness, Some(OffPeakWillingness::Partly));
}

#[test]
fn only_what_left_is_a_contact_and_its_day_is_beijing_s() {
    let (draft, sent) = (nudge(NudgeState::Draft), nudge(NudgeState::Sent));
    let late = at("2026-11-21T00:30:00+08:00");
    assert!(records(&[(late, draft)], &[], &[]).is_empty());
    let record = only(records(&[(late, sent.clone())], &[], &[]));
    assert_eq!(record.contacted_on, "2026-11-21".parse().ok());
    let mut receipt = settled("2026-11-20", Outcome::Reduced, 600.0, "1");
    receipt.1.receipt = NudgeState::Sent;
    receipt.0 = late + TimeDelta::days(1);
    let record = only(records(&[(late, sent)], &[receipt], &[]));
    assert_eq!(record.contacted_on, "2026-11-22".parse().ok());
}
