//! Stored documents, rejects, findings and runs as the API shows them.
//!
//! Documents are JSON written by other stages, some of them by earlier versions of the program;
//! a field that is not there is null, never a failure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandNode;
use crate::domain::finding::{Finding, Severity};
use crate::domain::live::LiveEvent;
use crate::domain::quantity::StdVolume;
use crate::ledger::entry::{LedgerEntry, Level};
use crate::serve::api::declarations::DeclarationSummary;
use crate::serve::api::submissions::Submission;
use crate::serve::codes;
use crate::serve::figures::forecast::QualityRow;
use crate::serve::figures::instant_text;
use crate::serve::figures::overview::AlertCounts;
use crate::serve::live::{Notice, NoticeKind, NoticeLevel};
use crate::store::book::{Document, DocumentKind, ForecastHeader, Restatement, SentVersion};
use crate::store::journal::ListedReject;

/// Curves of days further back change in bulk, after an import or a change of the registry.
const RECENT_CURVE_DAYS: i64 = 7;

pub(super) fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// A volume written as a number of m³ or as an exact string.
pub(super) fn volume(value: &Value) -> Option<StdVolume> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number
            .as_i64()
            .map(StdVolume::from_m3)
            .or_else(|| number.as_f64().map(StdVolume::from_f64)),
        _ => None,
    }
}

pub(super) fn volume_of(body: &Value, names: &[&str]) -> Option<StdVolume> {
    names
        .iter()
        .find_map(|name| body.get(name).and_then(volume))
}

/// The list's line of a declaration.
pub(super) fn declaration_summary(document: &Document, sent: &[SentVersion]) -> DeclarationSummary {
    let body = &document.body;
    let declared = body
        .get("total")
        .and_then(|total| volume_of(total, &["declared_m3"]))
        .or_else(|| volume_of(body, &["declared_m3"]));
    DeclarationSummary {
        month: document.key.clone(),
        version: document.version,
        state: Some(
            text(body, "state")
                .or_else(|| text(body, "status"))
                .or_else(|| {
                    let sent_at = body.get("sent_at").filter(|at| !at.is_null());
                    sent_at.map(|_| "sent")
                })
                .unwrap_or("draft")
                .to_owned(),
        ),
        declared_m3: declared.map(|v| v.to_string()),
        made_at: instant_text(document.at),
        submissions: sent
            .iter()
            .filter(|version| version.key == document.key)
            .map(submission)
            .collect(),
        suppliers: body
            .get("suppliers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
    }
}

/// A version that was sent, as it is listed.
pub(super) fn submission(sent: &SentVersion) -> Submission {
    Submission {
        version: sent.version,
        submission_no: sent.submission_no,
        sent_at: sent.sent_at.clone(),
        person: sent.who.clone(),
        reason: sent.reason.clone(),
    }
}

/// Lines of a backtest document, its `quality`.
pub(super) fn quality_rows(body: &Value) -> Vec<QualityRow> {
    body.get("quality")
        .cloned()
        .and_then(|rows| serde_json::from_value(rows).ok())
        .unwrap_or_default()
}

fn level(text: &str) -> NoticeLevel {
    match text {
        "red" => NoticeLevel::Red,
        "orange" => NoticeLevel::Orange,
        "yellow" => NoticeLevel::Yellow,
        "blue" => NoticeLevel::Blue,
        _ => NoticeLevel::Info,
    }
}

/// Whether an alert still asks for something.
pub(super) fn is_open(alert: &Document) -> bool {
    !matches!(text(&alert.body, "state"), Some("closed" | "resolved"))
}

/// Open alerts by level: documents not closed, and findings of the ledger.
pub(super) fn count_alerts(documents: &[Document], ledger: &[LedgerEntry]) -> AlertCounts {
    let open = documents
        .iter()
        .filter(|d| is_open(d))
        .filter_map(|d| text(&d.body, "level").map(level));
    let found = ledger
        .iter()
        .flat_map(|row| row.findings.iter().map(|f| notice_level(f.level)));
    let mut counts = AlertCounts::default();
    for one in open.chain(found) {
        match one {
            NoticeLevel::Red => counts.red += 1,
            NoticeLevel::Orange => counts.orange += 1,
            NoticeLevel::Yellow => counts.yellow += 1,
            NoticeLevel::Blue => counts.blue += 1,
            NoticeLevel::Info => {}
        }
    }
    counts
}

const fn notice_level(level: Level) -> NoticeLevel {
    match level {
        Level::Blue => NoticeLevel::Blue,
        Level::Yellow => NoticeLevel::Yellow,
        Level::Orange => NoticeLevel::Orange,
        Level::Red => NoticeLevel::Red,
    }
}

/// A frame was not taken.
pub(super) fn reject_notice(reject: &ListedReject) -> Notice {
    let reason = &reject.reason;
    Notice {
        at: reject.last_received_at,
        kind: NoticeKind::Reject,
        level: NoticeLevel::Yellow,
        code: reason.code.clone(),
        title_zh: codes::titled("数据帧被拒收", &reason.code),
        title_en: format!("frame rejected: {}", reason.message),
        subject: Some(
            reject
                .device
                .as_ref()
                .map_or_else(|| reject.origin.clone(), ToString::to_string),
        ),
    }
}

/// A rule found something.
pub(super) fn finding_notice(finding: &Finding) -> Notice {
    let rule = finding.rule;
    Notice {
        at: finding.at,
        kind: NoticeKind::Finding,
        level: match finding.severity {
            Severity::Info => NoticeLevel::Info,
            Severity::Suspect => NoticeLevel::Blue,
            Severity::Fail => NoticeLevel::Yellow,
        },
        code: rule.key().to_owned(),
        title_zh: format!("{}:{}", rule.name_zh(), finding.message_zh()),
        title_en: format!("{}: {}", rule.name_en(), finding.message_en()),
        subject: Some(finding.subject.to_string()),
    }
}

/// A run was published.
pub(super) fn run_notice(run: &ForecastHeader) -> Notice {
    Notice {
        at: run.created_at,
        kind: NoticeKind::Forecast,
        level: NoticeLevel::Info,
        code: "forecast.published".to_owned(),
        title_zh: format!("预测已更新:{} 起 {} 天", run.first_day, run.days),
        title_en: format!(
            "forecast published: {} days from {}",
            run.days, run.first_day
        ),
        subject: Some(run.run_id.to_string()),
    }
}

/// One notice for each document that late truth restated: by how much the demand of its days changed.
pub(super) fn restatement_notices(restated: &[Restatement]) -> Vec<Notice> {
    let mut documents: BTreeMap<(&str, &str, u32), Vec<&Restatement>> = BTreeMap::new();
    for one in restated {
        let document = (one.kind.key(), one.key.as_str(), one.version);
        documents.entry(document).or_default().push(one);
    }
    let notice = |((kind, key, version), of): (_, Vec<&Restatement>)| {
        let at = of.iter().map(|one| one.at).max()?;
        let (first, last) = (
            of.iter().map(|one| one.day).min()?,
            of.iter().map(|one| one.day).max()?,
        );
        // Nodes that did not change have no row: the changes sum to the city's, the volumes do not.
        let change: f64 = of.iter().map(|one| one.after_m3 - one.before_m3).sum();
        let change = format!("{change:+.0}").replace('-', "−");
        let nodes: BTreeSet<&DemandNode> = of.iter().map(|one| &one.node).collect();
        let nodes = nodes.len();
        let days = |between: &str| match last {
            last if last == first => first.to_string(),
            last => format!("{first}{between}{last}"),
        };
        let name = match kind {
            "declaration" => "月度申报",
            "nomination" => "日指定",
            _ => "台账",
        };
        Some(Notice {
            at,
            kind: NoticeKind::Alert,
            level: NoticeLevel::Yellow,
            code: "A403".to_owned(),
            title_zh: format!(
                "追溯:{} 用气量变化 {change} m³({nodes} 个区域×类别),涉及{name} {key} 第 {version} 版",
                days(" 至 ")
            ),
            title_en: format!(
                "restated: demand of {} changed by {change} m³ ({nodes} zone × class); \
                 {kind} {key}, version {version}, was made from it",
                days(" to ")
            ),
            subject: Some(format!("{kind} {key}")),
        })
    };
    documents.into_iter().filter_map(notice).collect()
}

/// What the program itself tells while it happens and no store records: notices of the program, and
/// completed days of the past week whose curves changed. What stores record is found there.
pub(super) fn event_notice(event: &LiveEvent, now: DateTime<Utc>, today: GasDay) -> Option<Notice> {
    match event {
        LiveEvent::Notice { code, message, at } => Some(Notice {
            at: *at,
            kind: NoticeKind::System,
            level: NoticeLevel::Orange,
            code: code.clone(),
            title_zh: codes::titled("系统提示", code),
            title_en: message.clone(),
            subject: None,
        }),
        LiveEvent::CurvesComputed { day, meters }
            if *day < today && today.days_since(*day) <= RECENT_CURVE_DAYS =>
        {
            Some(Notice {
                at: now,
                kind: NoticeKind::Curve,
                level: NoticeLevel::Info,
                code: "curve.recomputed".to_owned(),
                title_zh: format!("{day} 负荷曲线已重算,{meters} 块表"),
                title_en: format!("load curves of {day} recomputed, {meters} meters"),
                subject: None,
            })
        }
        LiveEvent::CurvesComputed { .. }
        | LiveEvent::Ingested { .. }
        | LiveEvent::Rejected { .. }
        | LiveEvent::Finding { .. }
        | LiveEvent::ForecastPublished { .. } => None,
    }
}

/// A document was written. Its own `level`, `code`, `title_zh`, `title_en` and `subject` are used
/// where it has them.
pub(super) fn document_notice(document: &Document) -> Notice {
    let body = &document.body;
    let (key, version) = (&document.key, document.version);
    let (kind, title_zh, title_en) = match document.kind {
        DocumentKind::Declaration => (
            NoticeKind::System,
            format!("{key} 月度申报第 {version} 版已生成"),
            format!("declaration of {key}, version {version}"),
        ),
        DocumentKind::Nomination => (
            NoticeKind::System,
            format!("{key} 日指定第 {version} 版已生成"),
            format!("nomination for {key}, version {version}"),
        ),
        DocumentKind::Nudge => (
            NoticeKind::Nudge,
            format!("避峰提醒 {key}"),
            format!("off-peak nudge {key}"),
        ),
        DocumentKind::Settlement => (
            NoticeKind::Nudge,
            format!("避峰效果 {key} 第 {version} 版"),
            format!("result of off-peak nudge {key}, version {version}"),
        ),
        DocumentKind::OptOut => (
            NoticeKind::Nudge,
            format!("避峰提醒接收意愿 {key} 第 {version} 版"),
            format!("wishes about off-peak nudges of {key}, version {version}"),
        ),
        DocumentKind::Alert => (
            NoticeKind::Alert,
            format!("告警 {key}"),
            format!("alert {key}"),
        ),
        DocumentKind::Factor => (
            NoticeKind::Forecast,
            format!("预测影响因素 {key} 第 {version} 版"),
            format!("forecast factor {key}, version {version}"),
        ),
        DocumentKind::Notice
        | DocumentKind::Backtest
        | DocumentKind::Ledger
        | DocumentKind::Outlook
        | DocumentKind::FiledPlans => (
            NoticeKind::System,
            format!("系统消息 {key}"),
            format!("notice {key}"),
        ),
    };
    let own = |name: &str, other: String| text(body, name).map_or(other, str::to_owned);
    Notice {
        at: document.at,
        kind,
        level: text(body, "level").map_or(NoticeLevel::Info, level),
        code: own("code", format!("{}.written", document.kind.key())),
        title_zh: own("title_zh", title_zh),
        title_en: own("title_en", title_en),
        subject: Some(own("subject", key.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::serve::figures::fixture;

    fn document(kind: DocumentKind, body: Value) -> Document {
        Document {
            kind,
            key: "2026-12".into(),
            version: 3,
            at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
            who: "plan".into(),
            reason: String::new(),
            body,
        }
    }

    #[test]
    fn a_declaration_is_listed_with_its_exact_total() {
        let body = json!({ "state": "draft", "total": { "declared_m3": 17_050_000 } });
        let line = declaration_summary(&document(DocumentKind::Declaration, body), &[]);
        assert_eq!(line.declared_m3.as_deref(), Some("17050000.0000"));
        assert_eq!((line.month.as_str(), line.version), ("2026-12", 3));
        let empty = declaration_summary(&document(DocumentKind::Declaration, json!({})), &[]);
        assert_eq!(empty.declared_m3, None);
        assert_eq!(empty.state.as_deref(), Some("draft"), "nobody sent it");
    }

    #[test]
    fn closed_alerts_do_not_count() {
        let alerts = [
            document(
                DocumentKind::Alert,
                json!({ "level": "red", "state": "open" }),
            ),
            document(
                DocumentKind::Alert,
                json!({ "level": "red", "state": "closed" }),
            ),
            document(DocumentKind::Alert, json!({ "level": "yellow" })),
            document(DocumentKind::Alert, json!({})),
        ];
        let counts = count_alerts(&alerts, &[]);
        assert_eq!(
            (counts.red, counts.orange, counts.yellow, counts.blue),
            (1, 0, 1, 0)
        );
    }

    #[test]
    fn a_document_s_own_words_are_used() {
        let own =
            json!({ "level": "orange", "code": "A202", "title_zh": "预计超提", "subject": "今日" });
        let notice = document_notice(&document(DocumentKind::Alert, own));
        assert_eq!(notice.level, NoticeLevel::Orange);
        assert_eq!(
            (notice.code.as_str(), notice.title_zh.as_str()),
            ("A202", "预计超提")
        );
        let plain = document_notice(&document(DocumentKind::Nomination, json!({})));
        assert_eq!(plain.code, "nomination.written");
        assert!(plain.title_zh.contains("第 3 版"));
    }

    #[test]
    fn what_is_restated_of_a_document_is_one_notice() {
        use crate::domain::customer::CustomerClass::{Commercial, Industrial};
        let restated = |day: &str, class, before_m3, after_m3| Restatement {
            day: fixture::day(day),
            node: crate::domain::demand::DemandNode {
                zone: "north".into(),
                class,
            },
            kind: DocumentKind::Declaration,
            key: "2026-12".into(),
            version: 2,
            before_m3,
            after_m3,
            at: fixture::at("2026-11-21T12:00:00+08:00"),
            cause: crate::store::book::RestatementCause::Readings,
        };
        let notices = restatement_notices(&[
            restated("2026-11-19", Industrial, 100.0, 140.0),
            restated("2026-11-20", Commercial, 50.0, 45.0),
        ]);
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].code, "A403");
        assert_eq!(
            notices[0].title_zh,
            "追溯:2026-11-19 至 2026-11-20 用气量变化 +35 m³(2 个区域×类别),涉及月度申报 2026-12 第 2 版"
        );
        let notices =
            restatement_notices(&[restated("2026-11-19", Industrial, 267_156.0, 255_716.0)]);
        assert!(
            notices[0]
                .title_zh
                .starts_with("追溯:2026-11-19 用气量变化 −11440 m³(1 个区域×类别)")
        );
        assert!(
            notices[0]
                .title_en
                .contains("demand of 2026-11-19 changed by −11440 m³ (1 zone × class)")
        );
    }

    #[test]
    fn only_what_no_store_records_is_relayed() {
        let now = fixture::at("2026-11-21T12:00:00+08:00");
        let today = fixture::day("2026-11-21");
        let told = |event: LiveEvent| event_notice(&event, now, today).map(|n| n.code);
        let notice = LiveEvent::Notice {
            code: "store.full".into(),
            message: "no space left".into(),
            at: now,
        };
        assert_eq!(told(notice).as_deref(), Some("store.full"));
        let curves = |back: i64| LiveEvent::CurvesComputed {
            day: today.plus(-back),
            meters: 3,
        };
        assert_eq!(told(curves(1)).as_deref(), Some("curve.recomputed"));
        assert_eq!((told(curves(0)), told(curves(8))), (None, None));
        let run_id = "run-1".into();
        assert_eq!(told(LiveEvent::ForecastPublished { run_id }), None);
    }

    #[test]
    fn a_backtest_without_lines_shows_none() {
        let line = json!({ "class": "total", "lead": "D+1", "wape": 0.031, "naive_wape": 0.07, "coverage": 0.8 });
        let rows = quality_rows(&json!({ "quality": [line] }));
        assert_eq!(rows.iter().map(|row| row.cases).collect::<Vec<_>>(), [None]);
        assert!(quality_rows(&json!({ "quality": "?" })).is_empty());
        assert!(quality_rows(&json!({})).is_empty());
    }
}
