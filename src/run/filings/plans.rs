//! Filed plans (客户用气计划): looked at row by row, and kept all together or not at all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{AHEAD_MAX, customer_of, failed, judge_anew, refused, said, stamp};
use crate::collect::import::plans::{self as tables, Hints, PLANS_MAX, PlanUnit};
use crate::domain::calendar::GasDay;
use crate::domain::filing::PlanWord;
use crate::domain::id::CustomerId;
use crate::domain::language::Bilingual;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::run::app::App;
use crate::run::facts;
use crate::serve::actions::ActionError;
use crate::serve::api::filings::{
    NewPlans, PlanOutcome, PlanReport, PlanRow, PlanRowView, PlanSum, PlanUpload,
};
use crate::serve::figures::instant_text;
use crate::store::book::{DocumentKind, NewDocument};

/// Gas days back of which a plan may still be mended: as far as a customer's plans are held against its use.
const BACK_MAX: i64 = 183;
/// Complete days that a plan is shown beside.
const USED_DAYS: i64 = 30;
/// A plan this many times what the connection is designed for has another unit than was meant.
const DESIGN_TIMES_MAX: f64 = 10.0;

/// One thing that is said.
struct Said {
    place: String,
    customer: String,
    day: Option<GasDay>,
    /// None takes the plan back.
    volume: Result<Option<StdVolume>, Bilingual>,
}

/// What is done about gas days that are over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    /// Somebody mends one by one.
    Mended,
    /// A table of a month has them beside those to come.
    LeftOut,
}

/// Who enters something, and what else is kept of it.
struct Entry<'a> {
    person: &'a str,
    source: &'a str,
    reason: &'a str,
    /// Name and SHA-256 of a file.
    file: Option<(&'a str, String)>,
}

/// A day of a plan with its volume, and what was planned before.
type TakenDay = (GasDay, StdVolume, Option<StdVolume>);
type Kept = (CustomerId, GasDay, Option<StdVolume>);
/// Day, volume, and the plan before.
type Taken = BTreeMap<CustomerId, Vec<TakenDay>>;

/// Enters plans row by row, or takes them back; they are known from now on.
///
/// # Errors
/// `Refused` where not all can be taken, or what the stores say; nothing is kept then.
pub fn file(app: &App, new: &NewPlans) -> Result<PlanReport, ActionError> {
    if new.rows.len() > PLANS_MAX {
        return Err(refused(
            "filing.rows",
            format!("at most {PLANS_MAX} rows are taken at once; send the rest after them"),
        ));
    }
    let rows = new.rows.iter().enumerate();
    let said = rows.map(|(index, row)| of_row(index, row)).collect();
    let entry = Entry {
        person: &new.person,
        source: &new.source,
        reason: &new.reason,
        file: None,
    };
    let examined = examine(app, said, Past::Mended)?;
    take(app, examined, &entry, new.dry_run)
}

/// Enters a table of plans, or tells what would become of it.
///
/// # Errors
/// As [`file()`]; a dry run tells what is wrong in its report.
pub fn import(app: &App, upload: &PlanUpload) -> Result<PlanReport, ActionError> {
    let about = &upload.about;
    let table = hints(upload).and_then(|hints| tables::read(&upload.bytes, &hints));
    let table = match table {
        Ok(table) => table,
        Err(problem) if about.dry_run => {
            return Ok(PlanReport {
                problem: Some(problem),
                ..nothing()
            });
        }
        Err(problem) => return Err(refused("filing.table", problem.en)),
    };
    let said = table.cells.into_iter().map(|cell| Said {
        place: cell.place,
        customer: cell.customer,
        day: cell.day,
        volume: cell.volume.map(Some),
    });
    let entry = Entry {
        person: &about.person,
        source: &about.source,
        reason: &about.reason,
        file: Some((&about.file, hex::encode(Sha256::digest(&upload.bytes)))),
    };
    let mut examined = examine(app, said.collect(), Past::LeftOut)?;
    examined.report.unused_columns = table.unused;
    take(app, examined, &entry, about.dry_run)
}

fn hints(upload: &PlanUpload) -> Result<Hints, Bilingual> {
    let about = &upload.about;
    let is_said = |text: &&String| !text.trim().is_empty();
    let unit = match about.unit.as_deref().map(str::trim) {
        None | Some("") => None,
        Some("m3") => Some(PlanUnit::M3),
        Some("wan") => Some(PlanUnit::Wan),
        Some(other) => {
            return Err(Bilingual {
                zh: format!("单位「{other}」无法识别;请用 m3 或 wan(万m³)"),
                en: format!("`{other}` is no unit; write m3 or wan (万m³)"),
            });
        }
    };
    let month = about.month.as_ref().filter(is_said).map(|text| {
        text.trim().parse().map_err(|_| Bilingual {
            zh: format!("月份「{text}」无法识别;请写成 2026-12"),
            en: format!("`{text}` is no month; write 2026-12"),
        })
    });
    Ok(Hints {
        unit,
        month: month.transpose()?,
        customer: about.customer.clone().filter(|text| is_said(&text)),
    })
}

fn of_row(index: usize, row: &PlanRow) -> Said {
    let shown = |text: &str| text.chars().take(40).collect::<String>();
    let day: Option<GasDay> = row.day.trim().parse().ok();
    let volume = match &row.m3 {
        _ if day.is_none() => Err(Bilingual {
            zh: format!("「{}」不是气日;请写成 2026-12-01", shown(&row.day)),
            en: format!("`{}` is no gas day; write 2026-12-01", shown(&row.day)),
        }),
        None => Ok(None),
        Some(text) => match text.trim().parse::<StdVolume>() {
            Ok(volume) if volume >= StdVolume::ZERO => Ok(Some(volume)),
            _ => Err(Bilingual {
                zh: format!(
                    "「{}」不是计划用气量;请写 m³,最多四位小数,不小于零",
                    shown(text)
                ),
                en: format!(
                    "`{}` is no planned volume; write m³, zero or more, with at most four decimals",
                    shown(text)
                ),
            }),
        },
    };
    Said {
        place: (index + 1).to_string(),
        customer: row.customer.clone(),
        day,
        volume,
    }
}

fn nothing() -> PlanReport {
    PlanReport {
        is_taken: false,
        entry: None,
        available_at: None,
        problem: None,
        unused_columns: Vec::new(),
        counts: BTreeMap::new(),
        customers: Vec::new(),
        rows: Vec::new(),
    }
}

/// What would become of what is said.
struct Examined {
    report: PlanReport,
    /// What differs from what is in force.
    to_keep: Vec<Kept>,
}

fn examine(app: &App, said: Vec<Said>, past: Past) -> Result<Examined, ActionError> {
    let (registry, now, today) = (app.registry(), app.clock.now(), app.today());
    let days = || said.iter().filter_map(|s| s.day);
    let (from, to) = (days().min(), days().max());
    let in_force = match (from, to) {
        (Some(from), Some(to)) => {
            let words = app.book.plan_words(None, from, to.plus(1), now);
            let words = words.map_err(|error| failed(&error))?;
            facts::plan_words(&registry, words, from, to.plus(1), now)
        }
        _ => BTreeMap::new(),
    };
    let mut judge = Judge {
        registry: &registry,
        in_force: &in_force,
        past,
        today,
        seen: BTreeMap::new(),
    };
    let mut rows = Vec::with_capacity(said.len());
    let mut to_keep = Vec::new();
    let mut taken = Taken::new();
    for one in said {
        let (row, kept) = judge.row(one);
        if let (Some((customer, day, Some(volume))), true) =
            (&kept, row.outcome != PlanOutcome::Over)
        {
            let before = judge.before(customer, *day);
            let of_customer = taken.entry(customer.clone()).or_default();
            of_customer.push((*day, *volume, before));
        }
        let is_news = matches!(
            row.outcome,
            PlanOutcome::New | PlanOutcome::Changed | PlanOutcome::Withdrawn
        );
        to_keep.extend(kept.filter(|_| is_news));
        rows.push(row);
    }
    rows.sort_by_key(|row| row.outcome != PlanOutcome::Problem);
    let mut counts = BTreeMap::new();
    for row in &rows {
        *counts.entry(row.outcome).or_insert(0) += 1;
    }
    let customers = sums(app, &registry, &taken)?;
    Ok(Examined {
        report: PlanReport {
            counts,
            customers,
            rows,
            ..nothing()
        },
        to_keep,
    })
}

struct Judge<'a> {
    registry: &'a Registry,
    in_force: &'a BTreeMap<(CustomerId, GasDay), PlanWord>,
    past: Past,
    today: GasDay,
    /// Where each customer's day was said first.
    seen: BTreeMap<(CustomerId, GasDay), String>,
}

impl Judge<'_> {
    fn before(&self, customer: &CustomerId, day: GasDay) -> Option<StdVolume> {
        let of = (customer.clone(), day);
        self.in_force.get(&of).and_then(|word| word.volume)
    }

    fn row(&mut self, said: Said) -> (PlanRowView, Option<Kept>) {
        let shown = |volume: Option<StdVolume>| volume.map(|volume| volume.to_string());
        let customer = customer_of(self.registry, &said.customer).cloned();
        let judged = self.judged(&said, customer.as_ref());
        let named = customer
            .as_ref()
            .map_or_else(|| said.customer.clone(), ToString::to_string);
        let before = customer
            .zip(said.day)
            .and_then(|(c, day)| self.before(&c, day));
        let mut row = PlanRowView {
            place: said.place,
            customer: named,
            day: said.day,
            m3: shown(said.volume.ok().flatten()),
            before_m3: shown(before),
            outcome: PlanOutcome::Problem,
            problem: None,
        };
        match judged {
            Ok((outcome, kept)) => {
                row.outcome = outcome;
                (row, Some(kept))
            }
            Err(problem) => {
                row.problem = Some(problem);
                (row, None)
            }
        }
    }

    fn judged(
        &mut self,
        said: &Said,
        customer: Option<&CustomerId>,
    ) -> Result<(PlanOutcome, Kept), Bilingual> {
        let volume = said.volume.clone()?;
        let customer = customer.cloned().ok_or_else(|| {
            let written: String = said.customer.chars().take(40).collect();
            Bilingual {
                zh: format!("没有户号为「{written}」的用户,也没有唯一同名的用户;请核对用户档案 customers.csv"),
                en: format!(
                    "no customer has the account number `{written}`, nor has one alone that name; see customers.csv"
                ),
            }
        })?;
        let Some(day) = said.day else {
            return Err(Bilingual::new("没有气日", "there is no gas day"));
        };
        if let Some(place) = self.seen.get(&(customer.clone(), day)) {
            return Err(Bilingual {
                zh: format!("{customer} 的 {day} 在 {place} 已写过;请只留一处"),
                en: format!("{day} of {customer} is said in {place} already; keep one"),
            });
        }
        self.seen
            .insert((customer.clone(), day), said.place.clone());
        let before = self.before(&customer, day);
        let kept = (customer.clone(), day, volume);
        if day < self.today && self.past == Past::LeftOut {
            return Ok((PlanOutcome::Over, kept));
        }
        let ahead = day.days_since(self.today);
        if !(-BACK_MAX..=AHEAD_MAX).contains(&ahead) {
            return Err(Bilingual {
                zh: format!(
                    "{day} 太远;计划只收今天前 {BACK_MAX} 天至后 {AHEAD_MAX} 天,请核对年份"
                ),
                en: format!(
                    "{day} is too far; plans are taken from {BACK_MAX} days back to {AHEAD_MAX} ahead; is the year right?"
                ),
            });
        }
        self.check_size(&customer, volume)?;
        let outcome = match (before, volume) {
            (None, None) => PlanOutcome::Unchanged,
            (Some(before), Some(volume)) if before == volume => PlanOutcome::Unchanged,
            (None, Some(_)) => PlanOutcome::New,
            (Some(_), Some(_)) => PlanOutcome::Changed,
            (Some(_), None) => PlanOutcome::Withdrawn,
        };
        Ok((outcome, kept))
    }

    fn check_size(
        &self,
        customer: &CustomerId,
        volume: Option<StdVolume>,
    ) -> Result<(), Bilingual> {
        let known = self.registry.customers.get(customer);
        let design_m3 = known.map_or(0.0, |c| c.design_flow_m3h * 24.0);
        match volume {
            Some(volume) if design_m3 > 0.0 && volume.to_f64() > design_m3 * DESIGN_TIMES_MAX => {
                Err(Bilingual {
                    zh: format!(
                        "{volume} m³ 超过该户设计日用气 {design_m3:.0} m³ 的 {DESIGN_TIMES_MAX} 倍;请核对单位是否为 m³"
                    ),
                    en: format!(
                        "{volume} m³ is more than {DESIGN_TIMES_MAX} times the {design_m3:.0} m³ a day of its \
                         design flow; is the unit m³?"
                    ),
                })
            }
            _ => Ok(()),
        }
    }
}

fn sums(app: &App, registry: &Registry, taken: &Taken) -> Result<Vec<PlanSum>, ActionError> {
    let today = app.today();
    let used = facts::daily_of(app, registry, taken.keys(), today.plus(-USED_DAYS), today)
        .map_err(|error| failed(&error))?;
    let sum_of = |(customer, days): (&CustomerId, &Vec<TakenDay>)| {
        let total: StdVolume = days.iter().map(|(_, volume, _)| *volume).sum();
        let before: Vec<StdVolume> = days.iter().filter_map(|(.., before)| *before).collect();
        let has_before = !before.is_empty();
        let before: StdVolume = before.into_iter().sum();
        let used: Vec<f64> = used
            .get(customer)
            .map(|days| days.values().map(|volume| volume.to_f64()).collect())
            .unwrap_or_default();
        let mean = used.iter().sum::<f64>() / used.len() as f64;
        Some(PlanSum {
            customer: customer.to_string(),
            name: registry.customers.get(customer)?.name.clone(),
            days: days.len(),
            first_on: days.iter().map(|(day, ..)| *day).min()?,
            last_on: days.iter().map(|(day, ..)| *day).max()?,
            total_m3: total.to_string(),
            before_m3: has_before.then(|| before.to_string()),
            mean_m3: total.to_f64() / days.len() as f64,
            used_mean_m3: (!used.is_empty()).then_some(mean),
        })
    };
    Ok(taken.iter().filter_map(sum_of).collect())
}

/// Keeps what is to be kept, unless one row has a problem.
fn take(
    app: &App,
    examined: Examined,
    entry: &Entry<'_>,
    is_dry: bool,
) -> Result<PlanReport, ActionError> {
    let Examined {
        mut report,
        to_keep,
    } = examined;
    if is_dry {
        return Ok(report);
    }
    let (person, source, reason) = (
        said("person", entry.person)?,
        said("source", entry.source)?,
        said("reason", entry.reason)?,
    );
    let problems = report
        .rows
        .iter()
        .filter_map(|row| row.problem.as_ref().zip(Some(row)));
    if let Some((problem, row)) = problems.clone().next() {
        return Err(refused(
            "filing.rows",
            format!(
                "{} of {} rows cannot be taken, so none was; {}: {}; a dry run lists them all",
                problems.count(),
                report.rows.len(),
                row.place,
                problem.en
            ),
        ));
    }
    if to_keep.is_empty() {
        return Ok(report);
    }
    let now = app.clock.now();
    let rows: Vec<_> = to_keep
        .iter()
        .map(|(customer, day, volume)| json!([customer, day, volume.map(|v| v.to_string())]))
        .collect();
    let rows = serde_json::Value::Array(rows);
    let tail = hex::encode(Sha256::digest(rows.to_string()));
    let id = format!(
        "P{}-{}",
        stamp(now),
        tail.chars().take(4).collect::<String>()
    );
    let (name, sha256) = entry.file.clone().unzip();
    let document = NewDocument {
        kind: DocumentKind::FiledPlans,
        key: id.clone(),
        body: json!({ "source": source, "file": name, "sha256": sha256, "rows": rows }),
        at: now,
        who: person.to_owned(),
        reason: reason.to_owned(),
    };
    let customers: BTreeSet<CustomerId> = to_keep.iter().map(|(id, ..)| id.clone()).collect();
    let at = app
        .book
        .put_plan_entry(document, to_keep)
        .map_err(|error| failed(&error))?;
    judge_anew(app, &customers);
    report.is_taken = true;
    report.entry = Some(id);
    report.available_at = Some(instant_text(at));
    Ok(report)
}
