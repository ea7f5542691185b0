//! What deserves attention on a ledger line, with the clock it starts. domain.md §10.C.

use std::cmp::Ordering;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::customer::{Customer, PriceTier};
use crate::domain::filing::{ChangeKind, ProductionChange};
use crate::domain::quantity::StdVolume;
use crate::ledger::entry::{LedgerFinding, LedgerStatus, Level};
use crate::ledger::figures::{DayRatio, DaySum};
use crate::validate::rules::v26_plan_deviation;

/// How long a matter may take. domain.md §1.2, S2-10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sla {
    /// 一般事项: 24 clock hours.
    General,
    /// 复杂事项: 3 working days.
    Complex,
}

/// When a matter raised at `raised_at` is due.
pub fn due_at(sla: Sla, raised_at: DateTime<Utc>, calendar: &Calendar) -> DateTime<Utc> {
    match sla {
        Sla::General => raised_at + TimeDelta::hours(24),
        Sla::Complex => calendar.add_working_days(raised_at, 3),
    }
}

/// Working days without gas from which on a customer with a plan is asked.
const IDLE_WORKDAYS_MIN: u32 = 3;

/// What the rules look at, for one customer.
pub(super) struct Facts<'a> {
    pub(super) customer: &'a Customer,
    pub(super) calendar: &'a Calendar,
    /// The last complete gas day.
    pub(super) yesterday: GasDay,
    /// Its end: when it could be known.
    pub(super) raised_at: DateTime<Utc>,
    pub(super) volume: Option<StdVolume>,
    pub(super) volume_before: Option<StdVolume>,
    pub(super) plan: Option<StdVolume>,
    pub(super) idle_workdays: u32,
    pub(super) hours_missing: usize,
    pub(super) year: YearUse,
    pub(super) mean_30d: DaySum,
    /// Gas days of the calendar year still to come, today included.
    pub(super) days_left: i64,
    /// The change in force on `yesterday`.
    pub(super) change: Option<&'a ProductionChange>,
    /// The one in force the day before.
    pub(super) change_before: Option<&'a ProductionChange>,
}

/// Use of the calendar year so far, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct YearUse {
    /// Of the days that are known.
    pub(super) known: StdVolume,
    /// The same with all that the meters can have passed on the others.
    pub(super) at_most: StdVolume,
    pub(super) days_unknown: i64,
}

impl YearUse {
    /// The tier, if it is the same whatever was used on the days that are not known.
    pub(super) fn tier(self) -> Option<PriceTier> {
        let tier = PriceTier::of(self.known);
        (tier == PriceTier::of(self.at_most)).then_some(tier)
    }
}

/// Findings of one customer, the most serious first.
pub(super) fn findings(facts: &Facts<'_>) -> Vec<LedgerFinding> {
    let mut found: Vec<LedgerFinding> = [
        day_ratio(facts),
        idle(facts),
        off_plan(facts),
        contract(facts),
        hours_missing(facts),
        discount(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.sort_by(|a, b| b.level.cmp(&a.level).then(a.code.cmp(b.code)));
    found
}

/// The worst finding decides.
pub(super) fn status(findings: &[LedgerFinding]) -> LedgerStatus {
    match findings.iter().map(|f| f.level).max() {
        None | Some(Level::Blue) => LedgerStatus::Normal,
        Some(Level::Yellow) => LedgerStatus::Watch,
        Some(Level::Orange) => LedgerStatus::Warning,
        Some(Level::Red) => LedgerStatus::Abnormal,
    }
}

impl Facts<'_> {
    fn finding(
        &self,
        code: &'static str,
        level: Level,
        sla: Sla,
        message_zh: String,
        message_en: String,
    ) -> LedgerFinding {
        LedgerFinding {
            code,
            message_zh,
            message_en,
            level,
            due_at: Some(due_at(sla, self.raised_at, self.calendar)),
        }
    }

    /// Whether the customer has told us what the day is against the one before.
    fn is_announced(&self, ratio: DayRatio) -> bool {
        let is_less = |kind: ChangeKind| kind.is_idle() || kind == ChangeKind::Reduce;
        let is_more = |kind| matches!(kind, ChangeKind::Resume | ChangeKind::Expand);
        let (now, before) = (
            self.change.map(|c| c.kind),
            self.change_before.map(|c| c.kind),
        );
        match ratio {
            DayRatio::Within => true,
            DayRatio::Drop => now.is_some_and(is_less),
            // It goes on after it stood still.
            DayRatio::Rise | DayRatio::Start => {
                now.is_some_and(is_more)
                    || (before.is_some_and(is_less) && !now.is_some_and(is_less))
            }
        }
    }

    /// Whether it has told us that it stands still on the day.
    fn is_stop_announced(&self) -> bool {
        self.change.is_some_and(|change| change.kind.is_idle())
    }
}

/// A101: the day against the one before.
fn day_ratio(facts: &Facts<'_>) -> Option<LedgerFinding> {
    let (day, before) = (facts.volume?, facts.volume_before?);
    let ratio = DayRatio::of(day, before);
    if ratio == DayRatio::Within {
        return None;
    }
    let name = &facts.customer.name;
    let type_of = |day: GasDay| facts.calendar.day_type(day.0);
    let is_explained =
        type_of(facts.yesterday) != type_of(facts.yesterday.plus(-1)) || facts.is_announced(ratio);
    // A works that rests at weekends would be yellow every week.
    let level = if is_explained {
        Level::Blue
    } else {
        Level::Yellow
    };
    let on = facts.yesterday;
    let (zh, en) = if ratio == DayRatio::Start {
        (
            format!("{name}{on}由零起用，用量 {} m³", m3(day)),
            format!("{name} started from nothing on {on}: {} m³", m3(day)),
        )
    } else {
        let times = day.to_f64() / before.to_f64();
        let bound = if ratio == DayRatio::Rise {
            ">1.5"
        } else {
            "<0.667"
        };
        let (day, before) = (m3(day), m3(before));
        (
            format!(
                "{name}{on}用量为前一日的 {times:.3} 倍({bound})：{day} m³，前一日 {before} m³"
            ),
            format!(
                "{name} used {times:.3} times ({bound}) the day before on {on}: {day} m³ after {before} m³"
            ),
        )
    };
    Some(facts.finding("A101", level, Sla::General, zh, en))
}

/// A102: no gas for working days on end although there is a plan.
fn idle(facts: &Facts<'_>) -> Option<LedgerFinding> {
    let plan = facts.plan.filter(|plan| *plan > StdVolume::ZERO)?;
    let days = facts.idle_workdays;
    if days < IDLE_WORKDAYS_MIN || facts.is_stop_announced() {
        return None;
    }
    let name = &facts.customer.name;
    Some(facts.finding(
        "A102",
        Level::Orange,
        Sla::General,
        format!("{name}连续{days}个工作日零用气，有计划 {} m³/d", m3(plan)),
        format!(
            "{name} used no gas on {days} working days in a row with a plan of {} m³/d",
            m3(plan)
        ),
    ))
}

/// A103: the day against its plan.
fn off_plan(facts: &Facts<'_>) -> Option<LedgerFinding> {
    let (day, plan) = (facts.volume?, facts.plan?);
    let percent = v26_plan_deviation::deviation_percent(day, plan)?;
    let level = if percent.abs() > 20.0 {
        Level::Orange
    } else {
        Level::Yellow
    };
    let name = &facts.customer.name;
    Some(facts.finding(
        "A103",
        level,
        Sla::General,
        format!(
            "{name}实际与申报偏差{percent:+.1}%(超出±5%)：实际 {} m³，申报 {} m³",
            m3(day),
            m3(plan)
        ),
        format!(
            "{name} is {percent:+.1} % off its plan (beyond ±5 %): {} m³ used, {} m³ planned",
            m3(day),
            m3(plan)
        ),
    ))
}

/// A201 and A207: 剩余天数 × 日均 > 剩余气量 means over-take, < under-take. As practised the two
/// differ at the smallest amount; within 5 % of the contract it is told, and not coloured. Where days of the
/// year are not known, only what holds whatever was used on them is told.
fn contract(facts: &Facts<'_>) -> Option<LedgerFinding> {
    let contract = facts.customer.contract_annual;
    let mean_m3 = facts.mean_30d.mean_m3()?;
    if contract <= StdVolume::ZERO {
        return None;
    }
    let (days, year) = (facts.days_left, facts.year);
    // Of days that are not known no more was used than nothing, and no less than meters can pass.
    let (most_left, least_left) = (contract - year.known, contract - year.at_most);
    let is_over = facts.mean_30d.compare(days, most_left) == Ordering::Greater;
    let is_under = facts.mean_30d.compare(days, least_left) == Ordering::Less;
    let left = match (is_over, is_under) {
        (true, _) => most_left,
        (false, true) => least_left,
        (false, false) => return None,
    };
    let name = &facts.customer.name;
    let expected_m3 = mean_m3 * days as f64;
    let gap_m3 = expected_m3 - left.to_f64();
    let is_small = gap_m3.abs() <= 0.05 * contract.to_f64();
    let (least, least_en) = if year.days_unknown > 0 {
        ("至少", "at least ")
    } else {
        ("", "")
    };
    let mut sums = format!(
        "剩余 {days} 天 × 日均 {mean_m3:.0} m³ = {expected_m3:.0} m³，剩余合同量 {} m³",
        m3(left)
    );
    let mut sums_en = format!(
        "{days} days left × {mean_m3:.0} m³/d = {expected_m3:.0} m³ against {} m³ of contract left",
        m3(left)
    );
    if year.days_unknown > 0 {
        let unknown = year.days_unknown;
        sums = format!("{sums}，当年 {unknown} 天用量未知");
        sums_en = format!("{sums_en}, the use of {unknown} days of the year is not known");
    }
    Some(if is_over {
        let on = facts
            .mean_30d
            .days_to_use(left)
            .map_or(facts.yesterday, |n| facts.yesterday.plus(n));
        facts.finding(
            "A201",
            if is_small { Level::Blue } else { Level::Orange },
            Sla::Complex,
            format!("{name}年合同量按当前进度将于 {on} 用尽，超提{least} {gap_m3:.0} m³（{sums}）"),
            format!("{name} will have used its annual contract up on {on}, {least_en}{gap_m3:.0} m³ over ({sums_en})"),
        )
    } else {
        facts.finding(
            "A207",
            if is_small { Level::Blue } else { Level::Yellow },
            Sla::Complex,
            format!(
                "{name}年合同量按当前进度将欠提{least} {:.0} m³（{sums}）",
                -gap_m3
            ),
            format!(
                "{name} will leave {least_en}{:.0} m³ of its annual contract untaken ({sums_en})",
                -gap_m3
            ),
        )
    })
}

/// A302: hours without data.
fn hours_missing(facts: &Facts<'_>) -> Option<LedgerFinding> {
    let hours = facts.hours_missing;
    if hours == 0 {
        return None;
    }
    let name = &facts.customer.name;
    let level = if hours >= 24 {
        Level::Orange
    } else {
        Level::Yellow
    };
    Some(facts.finding(
        "A302",
        level,
        Sla::General,
        format!("{name}{}缺数{hours}小时", facts.yesterday),
        format!(
            "{name} has no data for {hours} hours of {}",
            facts.yesterday
        ),
    ))
}

/// A208: the agreed discount is below the least one of the tier reached. Days that are not known can only
/// raise the tier, but the negotiated one has no floor.
fn discount(facts: &Facts<'_>) -> Option<LedgerFinding> {
    PriceTier::of(facts.year.at_most).discount_min()?;
    let floor = PriceTier::of(facts.year.known).discount_min()?;
    let agreed = facts.customer.agreed_discount;
    if agreed >= floor {
        return None;
    }
    let name = &facts.customer.name;
    Some(facts.finding(
        "A208",
        Level::Yellow,
        Sla::Complex,
        format!("{name}已达档位优惠下限 {floor} 元/m³，约定优惠 {agreed} 元/m³"),
        format!("{name} has reached a tier with at least {floor} yuan/m³ off, {agreed} is agreed"),
    ))
}

fn m3(volume: StdVolume) -> String {
    volume.round_m3().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::fixture::{at, calendar};

    #[test]
    fn general_matters_run_on_the_clock_and_complex_ones_on_working_days() {
        let calendar = calendar();
        // Friday 17:00 to Saturday 17:00.
        assert_eq!(
            due_at(Sla::General, at("2026-11-20T17:00:00+08:00"), &calendar),
            at("2026-11-21T17:00:00+08:00")
        );
        // Friday before Spring Festival, with the Saturday after it worked.
        assert_eq!(
            due_at(Sla::Complex, at("2026-02-13T16:00:00+08:00"), &calendar),
            at("2026-02-25T16:00:00+08:00")
        );
    }
}
