//! A kept run made again from its inputs, what differs, and what has changed since, in both languages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    CALENDAR, CAPACITIES, CLIMATE, CONSUMER, CONSUMERS, CUSTOMER_CAPACITIES, DEMAND, DEVIATIONS,
    EARLIER, EFFECTS, FACTORS, FORECAST, MONTHS, Made, OBSERVED, PLACES, PLAN_PRIORS, PROJECTS,
    SETTINGS, SHARES, TODAY_HOURS, VERSIONS, WEIGHING, decode, kept, make, parts_of,
};
use crate::domain::breakdown::Breakdown;
use crate::domain::demand::{DemandDay, DemandForecast};
use crate::domain::id::RunId;
use crate::domain::language::Bilingual;
use crate::domain::months::MonthlyOutlook;
use crate::forecast::engine;
use crate::forecast::memory::{Learning, Memory};
use crate::run::app::App;
use crate::run::forecasting;
use crate::store::book::RunPart;

/// What came of making a run again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reproduction {
    /// The run.
    pub run_id: RunId,
    /// Whether every bit of it came out again.
    pub is_identical: bool,
    /// SHA-256 of the run as it is kept, hex.
    pub kept: String,
    /// SHA-256 of the run made again, hex.
    pub made: String,
    /// What differs between the two.
    pub differences: Vec<Bilingual>,
    /// What is known of the same instant now and was not then: late readings, other registry.
    pub changed_since: Vec<Bilingual>,
    /// Which regressions the run learnt and which it had from earlier runs, by the run that learnt
    /// them; empty where that was not kept.
    pub learnt_by: Learning,
}

/// Makes a kept run again from what it was made from, learning everything anew.
///
/// # Errors
/// There is no such run, or its inputs were not kept.
pub fn reproduce(app: &App, id: &RunId) -> anyhow::Result<Reproduction> {
    let (kept, request) = kept(app, id)?;
    let parts = app.book.run_parts(id)?;
    let Made {
        forecast: made,
        breakdown,
        months,
        ..
    } = make(request, &Memory::default())?;
    let of_parts = app.book.breakdown(id)?;
    let kept_months = app.book.run_months(id)?;
    let of = |run: &DemandForecast, parts: Option<&Breakdown>, months: Option<&MonthlyOutlook>| {
        let mut bytes = postcard::to_stdvec(run).context("a forecast cannot be encoded")?;
        if let Some(parts) = parts {
            bytes.extend(postcard::to_stdvec(parts).context("its parts cannot be encoded")?);
        }
        if let Some(months) = months {
            bytes.extend(postcard::to_stdvec(months).context("its months cannot be encoded")?);
        }
        anyhow::Ok(hex::encode(Sha256::digest(bytes)))
    };
    let kept_digest = of(&kept, of_parts.as_ref(), kept_months.as_deref())?;
    let made_digest = of(
        &made,
        of_parts.as_ref().map(|_| &breakdown),
        months.as_ref(),
    )?;
    let mut differences = differences(&kept, &made);
    if kept_months.as_deref() != months.as_ref() {
        differences.push(Bilingual::new("逐月预测不同", "other months"));
    }
    Ok(Reproduction {
        run_id: id.clone(),
        is_identical: kept_digest == made_digest,
        differences,
        kept: kept_digest,
        made: made_digest,
        changed_since: changed_since(app, &kept, &parts)?,
        learnt_by: app.book.run_learning(id)?,
    })
}

/// Where two runs of the same inputs part, in words.
fn differences(kept: &DemandForecast, made: &DemandForecast) -> Vec<Bilingual> {
    let mut out = Vec::new();
    let program = env!("CARGO_PKG_VERSION");
    let then = kept.inputs.iter().find(|(key, _)| key == "program");
    if let Some((_, then)) = then.filter(|(_, then)| then != program) {
        out.push(Bilingual {
            zh: format!("程序:当时 {then},现在 {program}"),
            en: format!("program {then} then, {program} now"),
        });
    }
    for node in &kept.nodes {
        let label = engine::label(&node.node);
        let Some(again) = made.nodes.iter().find(|other| other.node == node.node) else {
            out.push(Bilingual {
                zh: format!("{label}:重算结果中没有"),
                en: format!("{label}: not in the run made again"),
            });
            continue;
        };
        if again.model != node.model {
            let (then, now) = (&node.model, &again.model);
            out.push(Bilingual {
                zh: format!("{label}:模型当时 {then},现在 {now}"),
                en: format!("{label}: {then} then, {now} now"),
            });
        }
        let apart = node
            .p50_m3
            .iter()
            .flatten()
            .zip(again.p50_m3.iter().flatten())
            .map(|(then, now)| (then - now).abs())
            .fold(0.0, f64::max);
        if apart > 0.0 {
            out.push(Bilingual {
                zh: format!("{label}:小时 P50 最多相差 {apart:.6} m³"),
                en: format!("{label}: P50 of an hour up to {apart:.6} m³ apart"),
            });
        }
        if again.draws != node.draws {
            out.push(Bilingual {
                zh: format!("{label}:抽样不同"),
                en: format!("{label}: other draws"),
            });
        }
    }
    out
}

/// What the stores say of the run's instant now, against what they said then.
fn changed_since(
    app: &App,
    kept: &DemandForecast,
    parts: &[RunPart],
) -> anyhow::Result<Vec<Bilingual>> {
    let mut now = forecasting::request_at(app, kept.origin_at)?;
    if parts.iter().any(|part| part.name == MONTHS) {
        now.months = Some(forecasting::months_from(
            app,
            now.clock.day_of(now.origin_at),
        ));
    }
    let now = parts_of(&now)?;
    let by_name = |parts: &[RunPart]| -> BTreeMap<String, RunPart> {
        parts
            .iter()
            .filter(|part| part.name != SETTINGS)
            .map(|part| (part.name.clone(), part.clone()))
            .collect()
    };
    let (then, now) = (by_name(parts), by_name(&now));
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let mut out = Vec::new();
    for name in names {
        match (then.get(name), now.get(name)) {
            (Some(a), Some(b)) if a.body == b.body => {}
            (Some(a), Some(b)) if name.starts_with(DEMAND) => {
                out.push(changed_demand(name, &decode::<Vec<_>>(a)?, &decode::<Vec<_>>(b)?));
            }
            (Some(a), Some(b)) if name == VERSIONS => {
                let was: Vec<(String, String)> = decode(a)?;
                let is: Vec<(String, String)> = decode(b)?;
                for ((key, was), (_, is)) in was.iter().zip(&is).filter(|(a, b)| a != b) {
                    out.push(Bilingual {
                        zh: format!("{}:当时 {was},现在 {is}", version_zh(key)),
                        en: format!("{key}: {was} then, {is} now"),
                    });
                }
            }
            (Some(_), Some(_)) if name == WEIGHING => out.push(Bilingual::new(
                "估算日现在在各处都按不确定度计权,当时只在回归中",
                "estimated days count less in all that is learnt of them now, and in fits alone then",
            )),
            (Some(_), Some(_)) => out.push(of_part(name, "数值已变", "other values now")),
            (Some(_), None) => out.push(of_part(name, "现已没有", "no longer there")),
            (None, _) if name == WEIGHING => out.push(Bilingual::new(
                "估算日现在按不确定度计权,当时没有",
                "estimated days count by their uncertainty now, and did not then",
            )),
            (None, _) if name == CLIMATE => out.push(Bilingual::new(
                "气候值现在用全部历史气温,当时只用各序列自己的时段",
                "climatology knows all temperatures there are now, and then those of each series' own days",
            )),
            (None, _) if name == PLAN_PRIORS => out.push(Bilingual::new(
                "计划很少的大用户现在按行业平均偏差修正,当时没有",
                "plans of customers with few of them are corrected by those of their industry now, and were not then",
            )),
            (None, _) if name == CAPACITIES => out.push(Bilingual::new(
                "没有历史的节点现在按设计流量预测,当时没有",
                "nodes without history are forecast by design flow now, and were not then",
            )),
            (None, _) if name == CUSTOMER_CAPACITIES => out.push(Bilingual::new(
                "历史很短的大用户现在按其结构预测,当时没有",
                "large consumers with little history are forecast by their class now, and were not then",
            )),
            (None, _) => out.push(of_part(name, "此后才知道", "known only since")),
        }
    }
    Ok(out)
}

/// What is said of a part of a run's inputs.
fn of_part(name: &str, zh: &str, en: &str) -> Bilingual {
    Bilingual {
        zh: format!("{}:{zh}", part_zh(name)),
        en: format!("{name}: {en}"),
    }
}

/// A part of a run's inputs, in Chinese.
fn part_zh(name: &str) -> String {
    let named = match name {
        CALENDAR => "日历",
        PLACES => "城市与采暖季",
        TODAY_HOURS => "当日已过小时的用气",
        SHARES => "气源比例",
        EFFECTS => "申报与生产变更的影响",
        CONSUMERS => "大用户名单与计划",
        PLAN_PRIORS => "各行业计划的平均偏差",
        PROJECTS => "新增项目",
        FACTORS => "其他影响因素",
        CAPACITIES => "各区各结构的设计流量",
        CUSTOMER_CAPACITIES => "大用户的设计流量",
        WEIGHING => "估算日的计权",
        CLIMATE => "气候值所用的气温",
        MONTHS => "逐月预测的月份与气源比例",
        _ => "",
    };
    if !named.is_empty() {
        return named.to_owned();
    }
    let of = |prefix, zh: &str| {
        let whose = name.strip_prefix(prefix)?;
        Some(format!("{whose} {zh}"))
    };
    of(CONSUMER, "的日用气")
        .or_else(|| of(DEVIATIONS, "日用气的不确定度"))
        .or_else(|| of(DEMAND, "的用气量"))
        .or_else(|| of(OBSERVED, "的实测气温"))
        .or_else(|| of(EARLIER, "的往年气温"))
        .or_else(|| of(FORECAST, "的天气预报"))
        .unwrap_or_else(|| name.to_owned())
}

/// What a version is of, in Chinese.
fn version_zh(key: &str) -> &str {
    match key {
        "registry" => "档案",
        "program" => "程序",
        "demand_through" => "用气数据截至",
        "weather_issued_at" => "天气预报发布于",
        _ => key,
    }
}

fn changed_demand(name: &str, then: &[DemandDay], now: &[DemandDay]) -> Bilingual {
    let index = |days: &[DemandDay]| -> BTreeMap<_, DemandDay> {
        days.iter()
            .map(|day| ((day.day, day.node.clone()), day.clone()))
            .collect()
    };
    let (then, now) = (index(then), index(now));
    let keys: BTreeSet<_> = then.keys().chain(now.keys()).collect();
    let changed: Vec<_> = keys
        .into_iter()
        .filter(|key| then.get(*key) != now.get(*key))
        .collect();
    let sum = |days: &BTreeMap<_, DemandDay>| -> f64 {
        changed
            .iter()
            .filter_map(|key| days.get(*key))
            .map(DemandDay::volume_m3)
            .sum()
    };
    let (count, m3) = (changed.len(), sum(&now) - sum(&then));
    of_part(
        name,
        &format!("{count} 个节点日有变,合计 {m3:+.0} m³"),
        &format!("{count} node-days changed, {m3:+.0} m³ together"),
    )
}

impl fmt::Display for Reproduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_identical {
            writeln!(
                f,
                "run {}: made again bit for bit ({})",
                self.run_id, self.kept
            )?;
        } else {
            writeln!(f, "run {}: comes out otherwise", self.run_id)?;
            writeln!(f, "  kept {}\n  made {}", self.kept, self.made)?;
        }
        for (run, series) in &self.learnt_by {
            let by = if *run == self.run_id {
                "it"
            } else {
                run.as_str()
            };
            writeln!(f, "  learnt by {by}: {}", series.join(", "))?;
        }
        for line in &self.differences {
            writeln!(f, "  differs: {}", line.en)?;
        }
        for line in &self.changed_since {
            writeln!(f, "  since then: {}", line.en)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_part_has_a_chinese_name() {
        let named = [
            CALENDAR,
            PLACES,
            TODAY_HOURS,
            SHARES,
            EFFECTS,
            CONSUMERS,
            PLAN_PRIORS,
            PROJECTS,
            FACTORS,
            CAPACITIES,
            CUSTOMER_CAPACITIES,
            WEIGHING,
            CLIMATE,
            MONTHS,
        ];
        let of = [CONSUMER, DEVIATIONS, DEMAND, OBSERVED, EARLIER, FORECAST]
            .map(|kind| format!("{kind}X1"));
        for name in named.map(str::to_owned).iter().chain(&of) {
            let said = part_zh(name);
            assert!(
                !said.contains(name.trim_end_matches("X1")),
                "{name}: {said}"
            );
            assert_eq!(said.contains("X1"), name.contains("X1"), "{name}: {said}");
        }
        let said = of_part("weather north", "数值已变", "other values now");
        let expected = Bilingual::new(
            "north 的天气预报:数值已变",
            "weather north: other values now",
        );
        assert_eq!(said, expected);
    }
}
