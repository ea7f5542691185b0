use super::*;
use crate::domain::calendar::CalendarYear;

fn day() -> GasDay {
    "2026-11-20".parse().unwrap()
}

fn m3(value: i64) -> StdVolume {
    StdVolume::from_m3(value)
}

fn flat(day: GasDay, hour_m3: i64) -> LoadCurve {
    LoadCurve {
        hours: [m3(hour_m3); 24],
        quality: [Quality::Measured; 24],
        ..LoadCurve::missing("m".into(), day)
    }
}

struct Case {
    curve: LoadCurve,
    history: Vec<LoadCurve>,
    calendar: Calendar,
    temperatures: BTreeMap<GasDay, f64>,
    peers: Option<[PeerHour; 24]>,
    gate: Option<[Option<GateHour>; 24]>,
    plan: Option<StdVolume>,
    class: CustomerClass,
}

impl Case {
    /// A Friday without a single value, and days before it with 1, 2, 3 … m³ an hour.
    fn after(days: i64) -> Self {
        Self {
            curve: LoadCurve::missing("m".into(), day()),
            history: (1..=days)
                .rev()
                .map(|back| flat(day().plus(-back), back))
                .collect(),
            calendar: Calendar::default(),
            temperatures: BTreeMap::new(),
            peers: None,
            gate: None,
            plan: None,
            class: CustomerClass::Industrial,
        }
    }

    fn facts(&self) -> LadderFacts<'_> {
        LadderFacts {
            day: day(),
            curve: Some(&self.curve),
            history: &self.history,
            calendar: &self.calendar,
            class: Some(self.class),
            temperatures: &self.temperatures,
            size: 1_000,
            peers: self.peers.as_ref(),
            gate: self.gate.as_ref(),
            plan: self.plan,
        }
    }

    fn first(&self) -> Option<(Method, StdVolume)> {
        ladder(&self.facts())[0].map(|found| (found.method, found.volume))
    }
}

#[test]
fn like_days_are_the_last_four_of_the_weekday() {
    // 7, 14, 21 and 28 days back; the mean is 17.5.
    let case = Case::after(40);
    assert_eq!(case.first(), Some((Method::E4, "17.5".parse().unwrap())));
    // s = 9.0370, 1.2816 · s · √1.25 = 12.949.
    let found = ladder(&case.facts())[0].unwrap();
    assert!(
        (found.uncertainty.to_f64() - 12.949).abs() < 2e-3,
        "{found:?}"
    );
}

#[test]
fn a_holiday_is_like_holidays_whatever_the_weekday() {
    let mut case = Case::after(40);
    let year: CalendarYear = toml::from_str(
        "year = 2026\nsource = \"t\"\nis_official = true\nspring_festival = \"2026-02-17\"\n\
         make_up_workdays = []\n[[holidays]]\nname = \"试\"\nname_en = \"t\"\n\
         from = \"2026-11-17\"\nto = \"2026-11-20\"\n",
    )
    .unwrap();
    case.calendar = Calendar::new([year]);
    assert_eq!(
        case.first(),
        Some((Method::E4, m3(2))),
        "mean of 1, 2 and 3"
    );
}

#[test]
fn who_heats_is_estimated_by_temperature() {
    let mut case = Case::after(28);
    case.class = CustomerClass::DistrictHeating;
    assert_eq!(
        case.first().map(|f| f.0),
        Some(Method::E4),
        "no temperature"
    );
    for back in 0..=28 {
        let c = if back == 0 {
            5.0
        } else {
            5.0 + f64::from(back - 10)
        };
        case.temperatures.insert(day().plus(-i64::from(back)), c);
    }
    // 10 back is as warm, 9 and 11 differ by 1 °C, 8 and 12 by 2: the newer of these two.
    assert_eq!(case.first(), Some((Method::E5, "9.5".parse().unwrap())));
}

#[test]
fn an_hour_between_two_is_interpolated() {
    let mut case = Case::after(28);
    case.curve = flat(day(), 10);
    case.curve.hours[9] = m3(40);
    case.curve.quality[7..9].fill(Quality::Invalid);
    case.curve.quality[12..15].fill(Quality::Missing);
    let found = ladder(&case.facts());
    let of = |hour: usize| found[hour].map(|f| (f.method, f.volume));
    assert_eq!(of(6), None, "it has a value of its own");
    assert_eq!(of(7), Some((Method::E3, m3(20))));
    assert_eq!(of(8), Some((Method::E3, m3(30))));
    assert_eq!(of(12).unwrap().0, Method::E4, "three hours are too long");
    // The first hour lies between yesterday's last and the next.
    case.curve.quality[0] = Quality::Missing;
    let first = ladder(&case.facts())[0].unwrap();
    assert_eq!((first.method, first.volume.units()), (Method::E3, 55_000));
}

#[test]
fn without_a_past_the_class_then_the_gate_then_the_plan_speak() {
    let mut case = Case::after(0);
    case.plan = Some(m3(240));
    assert_eq!(case.first(), Some((Method::E8, m3(10))));
    case.gate = Some(
        [Some(GateHour {
            left: m3(30),
            size: 3_000,
        }); 24],
    );
    assert_eq!(case.first(), Some((Method::E7, m3(10))));
    let peers = PeerHour {
        volume: m3(12),
        size: 6_000,
        meters: 3,
    };
    case.peers = Some([peers; 24]);
    assert_eq!(case.first(), Some((Method::E6, m3(2))));
    case.peers = Some([PeerHour { meters: 2, ..peers }; 24]);
    assert_eq!(case.first().unwrap().0, Method::E7, "two are no class");
}

#[test]
fn the_contract_s_mean_reaches_back_three_months() {
    let mut case = Case::after(60);
    case.history.retain(|curve| curve.day < day().plus(-28));
    // 29 to 60 m³: the mean is 44.5.
    assert_eq!(case.first(), Some((Method::E9, "44.5".parse().unwrap())));
    case.history.truncate(1);
    assert_eq!(case.first(), Some((Method::E9, m3(60))), "one alone");
    case.history.clear();
    assert_eq!(case.first(), None);
}

#[test]
fn decisions_and_other_estimates_do_not_make_estimates() {
    let mut case = Case::after(28);
    for curve in &mut case.history {
        curve.quality = [Quality::Edited; 24];
    }
    assert_eq!(case.first(), None);
    let plan = Some(m3(24));
    case.plan = plan;
    case.curve.hours[5] = m3(9);
    case.curve.quality[5] = Quality::Edited;
    // Nothing is added where a person decided, and it does not count as known.
    let found = ladder(&case.facts());
    assert_eq!(found[5], None);
    assert_eq!(found[0].unwrap().volume, m3(1));
}

#[test]
fn what_totals_bound_has_its_method_too() {
    let mut curve = flat(day(), 8);
    curve.quality[2..6].fill(Quality::Estimated);
    curve.quality[10] = Quality::Backfilled;
    curve.quality[12] = Quality::Edited;
    curve.quality[20] = Quality::Missing;
    let found = of_curve(&curve);
    assert_eq!(found[0], None);
    // 0.35 · 8 · (1 − 1/4).
    let e1 = found[2].unwrap();
    assert_eq!(
        (e1.method, e1.uncertainty),
        (Method::E1, "2.1".parse().unwrap())
    );
    assert_eq!(found[10].unwrap().method, Method::E2);
    assert_eq!(found[12].unwrap().uncertainty, "0.8".parse().unwrap());
    assert_eq!(found[20], None);
}
