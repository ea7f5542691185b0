//! V15: what came into a zone is not where it should be.
//!
//! With d = (gate − Σ meters − Δ line pack) / gate of a gas day, flagged when d lies further than
//! max(`v15_sigmas` · σ, `v15_floor`) from its usual value. Usual value and σ are the median and
//! 1.4826 · MAD of d over the 28 days before that are known, of which there must be 14: a zone loses
//! its share of gas every day, by meters too small for cold gas and by what nobody measures, and only
//! a change of that is news. Where pipes or pressures are not known, the line pack counts as
//! unchanged and the finding says so.

use chrono::{DateTime, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::id::ZoneId;
use crate::domain::quantity::StdVolume;
use crate::validate::day::median;
use crate::validate::limits::Limits;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&WITH_PACK, &WITHOUT_PACK];

static WITH_PACK: Sentence = Sentence {
    rule: RuleId::V15,
    key: "with_pack",
    zh: "门站进气 {gate},表具合计 {metered},管存变化 {pack},差 {ratio:2},通常 {usual:2} ± {allowed:2};请查门站表、漏表与泄漏",
    en: "{gate} came through the gate, meters had {metered}, the line pack grew by {pack}: {ratio:2} are missing, usually {usual:2} ± {allowed:2}; look at the gate's meters, at meters that are not there, and for leaks",
};

static WITHOUT_PACK: Sentence = Sentence {
    rule: RuleId::V15,
    key: "without_pack",
    zh: "门站进气 {gate},表具合计 {metered},管存未知按不变计,差 {ratio:2},通常 {usual:2} ± {allowed:2};请查门站表、漏表与泄漏",
    en: "{gate} came through the gate, meters had {metered}, the line pack is not known and taken as unchanged: {ratio:2} are missing, usually {usual:2} ± {allowed:2}; look at the gate's meters, at meters that are not there, and for leaks",
};

/// Known days without which nothing is said.
const DAYS_MIN: usize = 14;
/// From the median of absolute deviations to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;

/// A gas day of a zone, all of whose gate meters are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneDay {
    /// The day.
    pub day: GasDay,
    /// What came in.
    pub gate: StdVolume,
    /// What the meters had, those that lack the day filled.
    pub metered: StdVolume,
    /// How much the line pack grew; none where it is not known.
    pub line_pack: Option<StdVolume>,
}

impl ZoneDay {
    /// What is missing, a part of what came in; none if nothing did.
    pub fn missing_ratio(&self) -> Option<f64> {
        let pack = self.line_pack.unwrap_or(StdVolume::ZERO);
        let missing = self.gate - self.metered - pack;
        (self.gate > StdVolume::ZERO).then(|| missing.to_f64() / self.gate.to_f64())
    }
}

/// Checks a day of a zone against the days before it; `at` is the start of the day.
pub fn check(
    zone: &ZoneId,
    at: DateTime<Utc>,
    day: &ZoneDay,
    history: &[ZoneDay],
    limits: &Limits,
) -> Option<Finding> {
    let ratio = day.missing_ratio()?;
    let known: Vec<f64> = history.iter().filter_map(ZoneDay::missing_ratio).collect();
    if known.len() < DAYS_MIN {
        return None;
    }
    let usual = median(known.clone())?;
    let mad = median(known.iter().map(|ratio| (ratio - usual).abs()).collect())?;
    let allowed = (limits.v15_sigmas * MAD_TO_SIGMA * mad).max(limits.v15_floor);
    // The bound itself passes, whatever the last bit of a quotient says.
    if (ratio - usual).abs() <= allowed + 1e-12 {
        return None;
    }
    let mut args = vec![
        Arg::volume("gate", day.gate.units()),
        Arg::volume("metered", day.metered.units()),
        Arg::number("ratio", ratio * 100.0, Unit::Percent),
        Arg::number("usual", usual * 100.0, Unit::Percent),
        Arg::number("allowed", allowed * 100.0, Unit::Percent),
    ];
    let sentence = if let Some(pack) = day.line_pack {
        args.push(Arg::volume("pack", pack.units()));
        &WITH_PACK
    } else {
        &WITHOUT_PACK
    };
    Some(Finding::new(sentence, Severity::Suspect, zone, at, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::{at, day};

    fn zone_day(back: i64, metered_m3: i64) -> ZoneDay {
        ZoneDay {
            day: day().plus(-back),
            gate: StdVolume::from_m3(10_000),
            metered: StdVolume::from_m3(metered_m3),
            line_pack: None,
        }
    }

    /// 3 % missing on most days, a quarter of them 2.8 %, a quarter 3.2 %.
    fn history(days: i64) -> Vec<ZoneDay> {
        (1..=days)
            .map(|back| {
                zone_day(
                    back,
                    9_700 + [-20, 0, 20, 0][usize::try_from(back).unwrap() % 4],
                )
            })
            .collect()
    }

    fn found(today: ZoneDay, history: &[ZoneDay]) -> Option<Finding> {
        let zone = ZoneId::from("z");
        check(&zone, at(0), &today, history, &Limits::default())
    }

    #[test]
    fn a_usual_loss_is_no_news_and_a_sudden_one_is() {
        // MAD 0.1 %: σ 0.148 %, 3 σ 0.445 %, less than the floor of 1 %.
        assert_eq!(found(zone_day(0, 9_700), &history(28)), None);
        assert_eq!(found(zone_day(0, 9_600), &history(28)), None);
        let finding = found(zone_day(0, 9_599), &history(28)).unwrap();
        assert!(
            finding.message_en().starts_with(
                "10000.0000 m³ came through the gate, meters had 9599.0000 m³, the line pack is \
                 not known and taken as unchanged: 4.01 % are missing, usually 3.00 % ± 1.00 %"
            ),
            "{}",
            finding.message_en()
        );
        assert!(found(zone_day(0, 9_801), &history(28)).is_some(), "gain");
    }

    #[test]
    fn a_zone_that_varies_is_given_three_sigma() {
        let wild: Vec<ZoneDay> = (1..=28)
            .map(|back| {
                zone_day(
                    back,
                    9_700 + [-200, 200][usize::try_from(back).unwrap() % 2],
                )
            })
            .collect();
        // Median 3 %, MAD 2 %: 3 · 1.4826 · 2 % = 8.8956 %.
        assert_eq!(found(zone_day(0, 8_811), &wild), None);
        assert!(found(zone_day(0, 8_810), &wild).is_some());
    }

    #[test]
    fn gas_that_lies_in_the_pipes_is_not_missing() {
        let mut packed = zone_day(0, 9_400);
        assert!(found(packed, &history(28)).is_some());
        packed.line_pack = Some(StdVolume::from_m3(300));
        assert_eq!(found(packed, &history(28)), None);
        packed.line_pack = Some(StdVolume::from_m3(-300));
        let message = found(packed, &history(28)).unwrap().message_zh();
        assert!(message.contains("管存变化 -300.0000 m³"), "{message}");
    }

    #[test]
    fn too_few_days_and_a_gate_that_stands_still_say_nothing() {
        assert_eq!(found(zone_day(0, 5_000), &history(13)), None);
        let still = ZoneDay {
            gate: StdVolume::ZERO,
            ..zone_day(0, 0)
        };
        assert_eq!(found(still, &history(28)), None);
    }
}
