//! What the validation rules found, and how often.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasDay;
use crate::domain::finding::{Finding, RuleId, SEVERITY_KEYS, Severity, Subject};
use crate::domain::id::MeterId;
use crate::serve::api::{Asked, gas_day, limited, sent};
use crate::serve::figures::instant_text;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;
use crate::store::journal::FindingFilter;
use crate::validate::stats::{RuleStat, Split, rule_stats};

/// Gas days that are counted if none are asked for, yesterday the last.
const DAYS: i64 = 14;
/// Gas days that may be counted at once.
const DAYS_MAX: i64 = 400;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FindingQuery {
    /// Only of this meter.
    meter: Option<String>,
    /// Only of this rule, `V01` to `V26`.
    rule: Option<String>,
    /// Only of this severity: `fail`, `suspect` or `info`.
    severity: Option<String>,
    /// Only of this gas day or later.
    from: Option<String>,
    /// Only of this gas day or earlier.
    to: Option<String>,
    /// At most so many, 1 to 1000; 100 if not given.
    limit: Option<usize>,
}

/// A value in a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingValue {
    /// Its name in the sentence.
    pub name: String,
    /// The value: exact m³, a number, an instant (RFC 3339), a gas day, words by their keys.
    pub value: String,
    /// Unit of a number: `one`, `m3`, `m3_per_hour`, `celsius`, `kpa`, `percent`, `dbm`, `second`,
    /// `minute`, `hour`, `day`.
    pub unit: Option<String>,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// When.
    pub at: String,
    /// Rule.
    pub rule: String,
    /// `info`, `suspect` or `fail`.
    pub severity: String,
    /// What it is of: `meter`, `zone` or `customer`.
    pub subject_kind: String,
    /// Its identifier.
    pub subject: String,
    /// In Chinese.
    pub message_zh: String,
    /// In English.
    pub message_en: String,
    /// The numbers behind it; none of findings that an earlier program made.
    pub values: Vec<FindingValue>,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let values = finding.args().iter().map(|arg| FindingValue {
            name: arg.name.to_string(),
            value: arg.value.plain(),
            unit: arg.value.unit().map(|unit| unit.key().to_owned()),
        });
        Self {
            at: instant_text(finding.at),
            rule: finding.rule.key().to_owned(),
            severity: SEVERITY_KEYS
                .into_iter()
                .find(|(_, severity)| *severity == finding.severity)
                .map_or("", |(key, _)| key)
                .to_owned(),
            subject_kind: match &finding.subject {
                Subject::Meter(_) => "meter",
                Subject::Zone(_) => "zone",
                Subject::Customer(_) => "customer",
            }
            .to_owned(),
            subject: finding.subject.to_string(),
            message_zh: finding.message_zh(),
            message_en: finding.message_en(),
            values: values.collect(),
        }
    }
}

fn rule_of(key: &str) -> Result<RuleId, ApiProblem> {
    RuleId::from_key(key).ok_or_else(|| {
        let shown: String = key.chars().take(40).collect();
        ApiProblem::bad_request(
            "serve.bad_rule",
            format!("`{shown}` is not a rule; write V01 to V26"),
        )
    })
}

fn severity_of(key: &str) -> Result<Severity, ApiProblem> {
    let found = SEVERITY_KEYS.into_iter().find(|(of, _)| *of == key);
    found.map(|(_, severity)| severity).ok_or_else(|| {
        let shown: String = key.chars().take(40).collect();
        ApiProblem::bad_request(
            "serve.bad_severity",
            format!("`{shown}` is no severity; write fail, suspect or info"),
        )
    })
}

/// What the validation rules found, newest first
#[utoipa::path(get, path = "/findings", tag = "collect", params(FindingQuery), responses(
    (status = 200, body = Vec<FindingView>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_findings(
    State(state): State<AppState>,
    Asked(query): Asked<FindingQuery>,
) -> Result<Json<Vec<FindingView>>, ApiProblem> {
    let clock = state.journal().clock();
    let day = |text: &Option<String>| text.as_deref().map(gas_day).transpose();
    let filter = FindingFilter {
        meter: query.meter.map(MeterId::new),
        rule: query.rule.as_deref().map(rule_of).transpose()?,
        severity: query.severity.as_deref().map(severity_of).transpose()?,
        from: day(&query.from)?.map(|day| clock.start_of(day)),
        to: day(&query.to)?.map(|day| clock.end_of(day)),
        limit: limited(query.limit, 100, 1000),
    };
    let found = state.blocking(move |state| state.findings(&filter)).await?;
    Ok(Json(found.iter().map(FindingView::from).collect()))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// First gas day; 14 days up to the last one if not given.
    from: Option<String>,
    /// Last gas day; yesterday if not given.
    to: Option<String>,
    /// What rows are split by beside the rule: `class`, `zone` or `class,zone`.
    by: Option<String>,
}

/// How often a rule found something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleStatView {
    /// Rule.
    pub rule: String,
    /// Its name in Chinese.
    pub name_zh: String,
    /// Its name in English.
    pub name_en: String,
    /// Customer class, if rows are split by it; none for gates.
    pub class: Option<String>,
    /// Zone, if rows are split by it.
    pub zone: Option<String>,
    /// Findings.
    pub findings: u64,
    /// Meters, zones or customers that have one.
    pub subjects: usize,
    /// Gas days of meters that have a curve.
    pub meter_days: u64,
    /// The part of them that has a finding, 0 to 1.
    pub share: Option<f64>,
    /// Findings of the later half of the range over those of the earlier half.
    pub trend: Option<f64>,
    /// Findings on each gas day.
    pub by_day: Vec<u64>,
}

impl From<&RuleStat> for RuleStatView {
    fn from(stat: &RuleStat) -> Self {
        Self {
            rule: stat.rule.key().to_owned(),
            name_zh: stat.rule.name_zh().to_owned(),
            name_en: stat.rule.name_en().to_owned(),
            class: stat.class.map(|class| class.key().to_owned()),
            zone: stat.zone.as_ref().map(ToString::to_string),
            findings: stat.findings,
            subjects: stat.subjects,
            meter_days: stat.meter_days,
            share: stat.share(),
            trend: stat.trend(),
            by_day: stat.by_day.clone(),
        }
    }
}

/// Statistics of the rules over some gas days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleStatsView {
    /// First gas day.
    pub from: String,
    /// Last gas day.
    pub to: String,
    /// A row for each rule that found something, in the order of the catalogue.
    pub rows: Vec<RuleStatView>,
}

/// What `by` asks to split by.
///
/// # Errors
/// The word that is none.
pub fn split_of(by: &str) -> Result<Split, String> {
    let mut split = Split::default();
    for word in by.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "class" => split.by_class = true,
            "zone" => split.by_zone = true,
            _ => {
                let shown: String = word.chars().take(40).collect();
                return Err(format!(
                    "cannot split by `{shown}`; write class, zone or class,zone"
                ));
            }
        }
    }
    Ok(split)
}

/// How often each rule found something
#[utoipa::path(get, path = "/findings/stats", tag = "collect", params(StatsQuery), responses(
    (status = 200, body = RuleStatsView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_finding_stats(
    State(state): State<AppState>,
    Asked(query): Asked<StatsQuery>,
) -> Result<Json<RuleStatsView>, ApiProblem> {
    let split = split_of(query.by.as_deref().unwrap_or_default())
        .map_err(|help| ApiProblem::bad_request("serve.bad_query", help))?;
    let day = |text: &Option<String>| text.as_deref().map(gas_day).transpose();
    let (from, to) = (day(&query.from)?, day(&query.to)?);
    let view = state
        .blocking(move |state| {
            let last = to.unwrap_or_else(|| state.journal().clock().day_of(state.now()).plus(-1));
            let from = from.unwrap_or_else(|| last.plus(1 - DAYS));
            check_range(from, last)?;
            let counts = state.finding_counts(from, last.plus(1))?;
            let rows = rule_stats(&state.registry(), &counts, split);
            Ok(RuleStatsView {
                from: from.to_string(),
                to: last.to_string(),
                rows: rows.iter().map(RuleStatView::from).collect(),
            })
        })
        .await?;
    Ok(Json(view))
}

/// Gas days to be judged again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeRequest {
    /// First gas day, `YYYY-MM-DD`.
    pub from: String,
    /// Last gas day, included; it must be over. At most 31 days at once.
    pub to: String,
}

/// What judging again changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JudgedView {
    /// First gas day.
    #[schema(value_type = String)]
    pub from: GasDay,
    /// Last gas day.
    #[schema(value_type = String)]
    pub to: GasDay,
    /// Findings that were not there before.
    pub found: Vec<FindingView>,
    /// Findings that are no longer there.
    pub withdrawn: Vec<FindingView>,
    /// How many stayed as they were.
    pub standing: usize,
}

/// Judges gas days again by the limits and the registry of today: meters, zones and customers
#[utoipa::path(post, path = "/findings/judge", tag = "collect", request_body = JudgeRequest, responses(
    (status = 200, body = JudgedView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_judge(
    State(state): State<AppState>,
    body: Result<Json<JudgeRequest>, JsonRejection>,
) -> Result<Json<JudgedView>, ApiProblem> {
    let request = sent(body)?;
    let (from, to) = (gas_day(&request.from)?, gas_day(&request.to)?);
    state
        .blocking(move |state| Ok(Json(state.actions().judge_again(from, to)?)))
        .await
}

fn check_range(from: GasDay, last: GasDay) -> Result<(), ApiProblem> {
    let days = last.days_since(from) + 1;
    if (1..=DAYS_MAX).contains(&days) {
        return Ok(());
    }
    Err(ApiProblem::bad_request(
        "serve.bad_query",
        format!("from {from} to {last} are {days} gas days; ask for 1 to {DAYS_MAX}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_told() {
        assert!(split_of("").is_ok_and(|split| split == Split::default()));
        assert!(split_of("zone, class").is_ok_and(|split| split.by_class && split.by_zone));
        assert!(split_of("meter").unwrap_err().contains("`meter`"));
        assert_eq!(rule_of("V27").unwrap_err().code(), "serve.bad_rule");
        let day = |text: &str| text.parse().unwrap();
        assert!(check_range(day("2026-11-01"), day("2026-11-01")).is_ok());
        assert!(check_range(day("2026-11-02"), day("2026-11-01")).is_err());
        assert!(check_range(day("2024-11-02"), day("2026-11-01")).is_err());
    }
}
