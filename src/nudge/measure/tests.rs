use super::*;
use crate::nudge::baseline::tests::{frozen, worked};

fn gap() -> YuanPerM3 {
    YuanPerM3("1.15".parse().unwrap())
}

fn hour(m3h: f64) -> HourUse {
    HourUse {
        m3h: Some(m3h),
        quality: HourQuality::Measured,
    }
}

/// `level` m³/h, and `of_window` in the four hours of the window.
fn day(level: f64, of_window: f64) -> [HourUse; 24] {
    std::array::from_fn(|h| {
        hour(if (9..13).contains(&h) {
            of_window
        } else {
            level
        })
    })
}

fn measured(ratio: f64, day: &[HourUse; 24]) -> Measured {
    let baseline = frozen(&worked(ratio), "2026-11-23").unwrap();
    measure(&baseline, day, 1200.0, gap())
}

fn near(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 1e-6)
}

#[test]
fn the_worked_example_saves_920_m3() {
    let result = measured(1.15, &day(1150.0, 920.0));
    assert!((result.baseline_m3 - 4600.0).abs() < 1e-9);
    assert!(near(result.actual_m3, 3680.0));
    assert!(near(result.reduction_m3, 920.0));
    assert!(near(result.reduction_ratio, 0.20));
    assert_eq!(result.outcome, Outcome::Reduced);
    assert!(result.is_claimed);
    assert_eq!(result.saved.to_string(), "1058.00");
    // 920 of the 1200 m³ that were asked for.
    assert!(near(result.performance_ratio, 0.7667));
    assert_eq!(result.hours.len(), 4);
    assert_eq!(result.hours[0].hour, 9);
}

#[test]
fn the_capped_example_saves_1120_m3() {
    let result = measured(1.35, &day(1200.0, 920.0));
    assert!(near(result.reduction_m3, 1120.0));
}

#[test]
fn what_moved_is_told_from_what_was_not_used() {
    // 920 m³ less in the window, 150 m³/h more in the four hours after it.
    let mut moved = day(1150.0, 920.0);
    for h in &mut moved[13..17] {
        *h = hour(1300.0);
    }
    let result = measured(1.15, &moved);
    assert!(near(result.rebound_m3, 600.0), "{result:?}");
    assert!(near(result.day_reduction_m3, 320.0), "{result:?}");
    moved[15] = HourUse {
        m3h: None,
        quality: HourQuality::Missing,
    };
    let result = measured(1.15, &moved);
    assert_eq!((result.rebound_m3, result.day_reduction_m3), (None, None));
    assert!(result.is_claimed, "the window itself is known");
}

#[test]
fn within_the_noise_nothing_is_claimed() {
    let mut history = worked(1.0);
    for (at, hours) in history.values_mut().enumerate() {
        let level = if at % 2 == 0 { 900.0 } else { 1100.0 };
        *hours = [Some(level); 24];
    }
    let baseline = frozen(&history, "2026-11-23").unwrap();
    assert!(baseline.noise_m3 > 300.0, "{}", baseline.noise_m3);
    let little = measure(
        &baseline,
        &day(1000.0, baseline.mean_m3h() - 50.0),
        1200.0,
        gap(),
    );
    assert_eq!(little.outcome, Outcome::WithinNoise);
    assert!(!little.is_claimed && little.saved == Yuan::default());
    // The band says why: it holds zero, and 0.9 of a t with nine degrees of freedom is 1.383.
    let half = 1.383 * 1.1_f64.sqrt() * baseline.noise_m3;
    // Each of the four hours is kept to 0.0001 m³.
    let is = |m3: Option<f64>, of: f64| m3.is_some_and(|m3| (m3 - of).abs() < 5e-4);
    assert!(is(little.reduction_p10_m3, 200.0 - half), "{little:?}");
    assert!(is(little.reduction_p90_m3, 200.0 + half), "{little:?}");
    assert!(little.reduction_p10_m3.unwrap() < 0.0);
    let more = measure(&baseline, &day(1000.0, 2000.0), 1200.0, gap());
    assert_eq!(more.outcome, Outcome::WithinNoise);
    assert!(!more.is_claimed && more.reduction_m3.unwrap() < 0.0);
}

#[test]
fn missing_hours_are_said_and_never_counted_as_zero() {
    let mut hours = day(1150.0, 920.0);
    hours[10] = HourUse {
        m3h: None,
        quality: HourQuality::Missing,
    };
    let result = measured(1.15, &hours);
    assert_eq!(result.outcome, Outcome::Incomplete);
    assert_eq!((result.hours_missing, result.hours_estimated), (1, 0));
    assert_eq!((result.actual_m3, result.reduction_m3), (None, None));
    assert_eq!(result.hours[1].actual_m3h, None);
    assert!(!result.is_claimed);
    assert_eq!(result.saved, Yuan::default());
}

#[test]
fn estimated_hours_are_said_and_claim_nothing() {
    let mut hours = day(1150.0, 920.0);
    hours[12].quality = HourQuality::Estimated;
    let result = measured(1.15, &hours);
    assert_eq!(result.outcome, Outcome::Estimated);
    assert_eq!((result.hours_missing, result.hours_estimated), (0, 1));
    assert!(near(result.reduction_m3, 920.0));
    assert!(!result.is_claimed);
    assert_eq!(result.saved, Yuan::default());
}

#[test]
fn what_went_through_json_is_the_same() {
    let result = measured(1.15, &day(1_151.234_56, 921.987_65));
    let json = serde_json::to_string(&result).unwrap();
    let again: Measured = serde_json::from_str(&json).unwrap();
    assert!(result.is_same(&again));
    let other = measured(1.15, &day(1_151.234_56, 921.987_85));
    assert!(!result.is_same(&other) && !result.says_the_same(&other));
    let elsewhere = measured(1.15, &day(1151.3, 921.987_65));
    assert!(!result.is_same(&elsewhere) && result.says_the_same(&elsewhere));
}
