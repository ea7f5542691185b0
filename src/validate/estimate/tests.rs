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
fn like_days_are_the_last_four_of_the_weekday_brought_to_the_level_of_the_week() {
    let mut case = Case::after(40);
    // 7, 14, 21 and 28 days back, every week like every other.
    for curve in &mut case.history {
        let back = day().days_since(curve.day);
        curve.hours = [m3(10 + back % 7); 24];
    }
    assert_eq!(case.first(), Some((Method::E4, m3(10))));
    // The week before uses a fifth more: each like day counts a fifth more, but the one in it, which is
    // compared with the week before it.
    for curve in case.history.iter_mut().rev().take(7) {
        curve.hours = curve
            .hours
            .map(|v| StdVolume::from_units(v.units() * 6 / 5));
    }
    // 12 · 1.2, and three times 10 · 1.2.
    let found = ladder(&case.facts())[0].unwrap();
    assert_eq!(
        (found.method, found.volume),
        (Method::E4, "12.6".parse().unwrap())
    );
    // s = 1.2, and t = 1.638 of four: 1.638 · 1.2 · √1.25 = 2.1976.
    assert!(
        (found.uncertainty.to_f64() - 2.1976).abs() < 1e-3,
        "{found:?}"
    );
}

#[test]
fn what_is_known_of_the_day_says_how_it_stands_to_like_days() {
    let mut case = Case::after(0);
    case.history = (1..=40)
        .rev()
        .map(|back| flat(day().plus(-back), 10))
        .collect();
    case.curve = flat(day(), 13);
    case.curve.quality[9..15].fill(Quality::Missing);
    let found = ladder(&case.facts())[11].unwrap();
    assert_eq!((found.method, found.volume), (Method::E4, m3(13)));
}

#[test]
fn a_holiday_is_like_holidays_whatever_the_weekday() {
    let mut case = Case::after(3);
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
    // Effective temperature is 1.07 °C on the day and b − 4.27 °C b days back: 4 to 7 back are the nearest.
    // Who uses more in warmth has no response to go by.
    assert_eq!(case.first(), Some((Method::E5, "5.5".parse().unwrap())));
}

#[test]
fn days_nearly_as_warm_are_moved_along_the_meter_s_own_response() {
    let mut case = Case::after(0);
    case.class = CustomerClass::DistrictHeating;
    case.temperatures.insert(day(), 0.0);
    for back in (1..=28).rev() {
        let (c, hour_m3) = if back <= 10 { (1.0, 20) } else { (11.0, 10) };
        case.temperatures.insert(day().plus(-back), c);
        case.history.push(flat(day().plus(-back), hour_m3));
    }
    // ln 2 over about 10 °C, and the day is 0.53 °C colder than those of 20 m³.
    let (method, volume) = case.first().unwrap();
    assert_eq!(method, Method::E5);
    assert!((20.5..21.0).contains(&volume.to_f64()), "{volume}");
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
            own: 1_000,
            all: 3_000,
            is_by_use: false,
            pack: StdVolume::ZERO,
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
fn gas_that_may_have_stayed_in_the_pipes_widens_what_the_gate_says() {
    let mut case = Case::after(0);
    let mut of_gate = |pack, is_by_use| {
        case.gate = Some(
            [Some(GateHour {
                left: m3(30),
                own: 1_000,
                all: 3_000,
                is_by_use,
                pack: m3(pack),
            }); 24],
        );
        ladder(&case.facts())[0].unwrap()
    };
    // Nine tenths of 10 m³; with a third of 36 m³ that may lie in the pipes: √(9² + 12²).
    assert_eq!(of_gate(0, false).uncertainty, m3(9));
    let found = of_gate(36, false);
    assert_eq!((found.volume, found.uncertainty), (m3(10), m3(15)));
    // By use a quarter of it is left: √(4.2² + 5.6²) of 67.2 m³ that may.
    let found = of_gate(67, true).uncertainty.to_f64();
    assert!((found - 4.2_f64.hypot(67.0 / 12.0)).abs() < 1e-3, "{found}");
}

#[test]
fn a_meter_that_was_heard_of_has_its_own_part_of_the_class() {
    let mut case = Case::after(1);
    let of_hour = |volume_m3: i64| PeerHour {
        volume: m3(volume_m3),
        size: 6_000,
        meters: 3,
    };
    let mut peers = [of_hour(12); 24];
    peers[0] = of_hour(24);
    case.peers = Some(peers);
    // Yesterday it used 1 m³ in each hour, 24 in all; its class would have used 25 · 12 m³.
    let found = ladder(&case.facts())[0].unwrap();
    assert_eq!(
        (found.method, found.volume),
        (Method::E6, "1.92".parse().unwrap())
    );
    // Of the 24 hours all but one are 4 % more than that says.
    assert!(
        (found.uncertainty.to_f64() - 0.05 * 1.92).abs() < 1e-3,
        "{found:?}"
    );
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
    // All alike: spread by time, 0.85 · 8 · (1 − 1/4)².
    let e1 = found[2].unwrap();
    assert_eq!(
        (e1.method, e1.uncertainty),
        (Method::E1, "3.825".parse().unwrap())
    );
    // By a profile: 0.185 · 8 · (1 − 1/4).
    (curve.hours[3], curve.hours[4]) = (m3(6), m3(10));
    assert_eq!(
        of_curve(&curve)[2].unwrap().uncertainty,
        "1.11".parse().unwrap()
    );
    assert_eq!(found[10].unwrap().method, Method::E2);
    assert_eq!(found[12].unwrap().uncertainty, "0.8".parse().unwrap());
    assert_eq!(found[20], None);
}
