//! The words: templates that the company can replace, within the byte limit of its channel.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use minijinja::{Environment, UndefinedBehavior, context};

use crate::domain::calendar::beijing_civil;
use crate::domain::language::Language;
use crate::nudge::Nudge;
use crate::nudge::peak::PeakReason;
use crate::nudge::settlement::Settlement;
use crate::plan::explain::{grouped, wan};

/// Largest message of an internal `WeCom` group robot, bytes of UTF-8.
pub const BYTES_MAX: usize = 2048;

/// Largest name printed, characters; longer ones end in `…`.
const NAME_CHARS_MAX: usize = 24;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A template file cannot be read.
    #[error("{}: template cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A template does not parse or names something that does not exist.
    #[error(
        "template `{template}` cannot be filled: {source}; the variables are listed in docs/METHODS.md"
    )]
    Template {
        /// Which one.
        template: String,
        /// Why.
        #[source]
        source: minijinja::Error,
    },
    /// A template names what does not exist.
    #[error(
        "template `{template}` names {}; the variables are listed in docs/METHODS.md",
        unknown.join(", ")
    )]
    Unknown {
        /// Which one.
        template: String,
        /// What.
        unknown: Vec<String>,
    },
    /// Too long even without the line that may be left out.
    #[error(
        "message of {bytes} bytes exceeds {BYTES_MAX}, even without the reason; shorten the template"
    )]
    TooLong {
        /// Bytes.
        bytes: usize,
    },
}

impl MessageError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "nudge.template_read",
            Self::Template { .. } | Self::Unknown { .. } => "nudge.template",
            Self::TooLong { .. } => "nudge.message_too_long",
        }
    }
}

/// The templates in use.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

const BUILT_IN: [(&str, &str); 4] = [
    ("day_ahead_zh.md", include_str!("templates/day_ahead_zh.md")),
    ("day_ahead_en.md", include_str!("templates/day_ahead_en.md")),
    ("receipt_zh.md", include_str!("templates/receipt_zh.md")),
    ("receipt_en.md", include_str!("templates/receipt_en.md")),
];

/// What the suggestion's templates can name.
const NUDGE_NAMES: &[&str] = &[
    "is_brief",
    "id",
    "name",
    "window",
    "peak_name",
    "reason",
    "shift_to",
    "ask_m3h",
    "flow_min_safe_m3h",
    "avoided_m3",
    "price_gap",
    "benefit_yuan",
    "baseline_m3h",
    "account_manager",
];

/// What the receipt's can.
const RECEIPT_NAMES: &[&str] = &[
    "id",
    "name",
    "window",
    "outcome",
    "is_correction",
    "hours_estimated",
    "hours_missing",
    "baseline_m3",
    "actual_m3",
    "reduction_m3",
    "reduction_percent",
    "saved_yuan",
    "is_claimed",
    "account_manager",
];

/// Names of a template that nothing fills.
fn unknown_names(template: &minijinja::Template<'_, '_>) -> Vec<String> {
    let is_receipt = template.name().starts_with("receipt");
    let known = if is_receipt {
        RECEIPT_NAMES
    } else {
        NUDGE_NAMES
    };
    let mut unknown: Vec<String> = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    unknown.sort();
    unknown
}

impl Templates {
    /// The built-in templates.
    ///
    /// # Errors
    /// [`MessageError::Template`] never happens: a test fills each of them.
    pub fn built_in() -> Result<Self, MessageError> {
        Self::with(|_| Ok(None))
    }

    /// The built-in templates, each replaced by the file of its name in `dir` where there is one.
    ///
    /// # Errors
    /// A folder or file that cannot be read, or a file that does not parse or names what does not exist.
    pub fn load(dir: &Path) -> Result<Self, MessageError> {
        // A folder that is not there would quietly mean our own words.
        std::fs::read_dir(dir).map_err(|source| MessageError::Read {
            path: dir.to_owned(),
            source,
        })?;
        Self::with(|name| {
            let path = dir.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(MessageError::Read { path, source }),
            }
        })
    }

    fn with(
        replacement: impl Fn(&str) -> Result<Option<String>, MessageError>,
    ) -> Result<Self, MessageError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in BUILT_IN {
            let text = replacement(name)?.unwrap_or_else(|| text.to_string());
            environment
                .add_template_owned(name, text)
                .and_then(|()| environment.get_template(name).map(|t| unknown_names(&t)))
                .map_err(|source| MessageError::Template {
                    template: name.into(),
                    source,
                })
                .and_then(|unknown| {
                    if unknown.is_empty() {
                        return Ok(());
                    }
                    Err(MessageError::Unknown {
                        template: name.into(),
                        unknown,
                    })
                })?;
        }
        Ok(Self { environment })
    }

    /// The message of a nudge, within [`BYTES_MAX`].
    ///
    /// Where it is too long it is filled again without the reason; what is still too long is
    /// refused. It is never cut.
    ///
    /// # Errors
    /// [`MessageError::TooLong`], or a template that cannot be filled.
    pub fn nudge(&self, nudge: &Nudge, language: Language) -> Result<String, MessageError> {
        let name = match language {
            Language::Zh => "day_ahead_zh.md",
            Language::En => "day_ahead_en.md",
        };
        let fill = |is_brief: bool| {
            self.fill(
                name,
                context! {
                    is_brief,
                    id => nudge.id.as_str(),
                    name => shortened(&nudge.name),
                    window => window(nudge.window_from, nudge.window_to, language),
                    peak_name => peak_name(nudge, language),
                    reason => reason(nudge, language),
                    shift_to => shift_to(nudge, language),
                    ask_m3h => grouped(nudge.ask_m3h as f64, 0),
                    flow_min_safe_m3h => grouped(nudge.flow_min_safe_m3h, 0),
                    avoided_m3 => grouped(nudge.avoided_m3 as f64, 0),
                    price_gap => format!("{:.2}", nudge.price_gap.to_f64()),
                    benefit_yuan => grouped(nudge.benefit.to_f64(), 0),
                    baseline_m3h => grouped(nudge.baseline.mean_m3h(), 0),
                    account_manager => shortened(&nudge.account_manager),
                },
            )
        };
        let full = fill(false)?;
        if full.len() <= BYTES_MAX {
            return Ok(full);
        }
        within(fill(true)?)
    }

    /// The receipt of a measured event, within [`BYTES_MAX`].
    ///
    /// # Errors
    /// [`MessageError::TooLong`], or a template that cannot be filled.
    pub fn receipt(
        &self,
        nudge: &Nudge,
        settlement: &Settlement,
        language: Language,
    ) -> Result<String, MessageError> {
        let name = match language {
            Language::Zh => "receipt_zh.md",
            Language::En => "receipt_en.md",
        };
        let measured = &settlement.result;
        let known = |m3: Option<f64>| m3.map(|m3| grouped(m3, 0));
        within(self.fill(
            name,
            context! {
                id => nudge.id.as_str(),
                name => shortened(&nudge.name),
                window => window(nudge.window_from, nudge.window_to, language),
                outcome => measured.outcome.key(),
                is_correction => settlement.is_correction,
                hours_estimated => measured.hours_estimated,
                hours_missing => measured.hours_missing,
                baseline_m3 => grouped(measured.baseline_m3, 0),
                actual_m3 => known(measured.actual_m3),
                reduction_m3 => known(measured.reduction_m3),
                reduction_percent => measured.reduction_ratio.map(|r| format!("{:.0}", r * 100.0)),
                saved_yuan => grouped(measured.saved.to_f64(), 0),
                is_claimed => measured.is_claimed,
                account_manager => shortened(&nudge.account_manager),
            },
        )?)
    }

    fn fill(&self, name: &str, values: minijinja::Value) -> Result<String, MessageError> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(values))
            .map(|text| text.trim_end().to_string())
            .map_err(|source| MessageError::Template {
                template: name.into(),
                source,
            })
    }
}

fn within(text: String) -> Result<String, MessageError> {
    if text.len() > BYTES_MAX {
        return Err(MessageError::TooLong { bytes: text.len() });
    }
    Ok(text)
}

/// A name on one line, at most [`NAME_CHARS_MAX`] characters: a name can neither break the
/// message's lines nor push it over the limit.
fn shortened(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if clean.chars().count() <= NAME_CHARS_MAX {
        return clean;
    }
    let kept: String = clean.chars().take(NAME_CHARS_MAX - 1).collect();
    format!("{kept}…")
}

fn window(from: DateTime<Utc>, to: DateTime<Utc>, language: Language) -> String {
    let (from, to) = (beijing_civil(from), beijing_civil(to));
    match language {
        Language::Zh => {
            let weekday = ["日", "一", "二", "三", "四", "五", "六"]
                .get(from.weekday().num_days_from_sunday() as usize)
                .copied()
                .unwrap_or_default();
            format!(
                "{}(周{weekday}) {}–{}",
                from.format("%-m月%-d日"),
                from.format("%H:%M"),
                to.format("%H:%M")
            )
        }
        Language::En => format!(
            "{} {}–{}",
            from.format("%a %-d %b"),
            from.format("%H:%M"),
            to.format("%H:%M")
        ),
    }
}

fn peak_name(nudge: &Nudge, language: Language) -> &'static str {
    match (nudge.reason, language) {
        (PeakReason::AboveRecentPeaks, Language::Zh) => "全市用气高峰",
        (PeakReason::AboveRecentPeaks, Language::En) => "city-wide peak",
        (PeakReason::AboveNomination, Language::Zh) => "当日指定量偏紧",
        (PeakReason::AboveNomination, Language::En) => "tight against the day's nomination",
    }
}

fn reason(nudge: &Nudge, language: Language) -> String {
    let day = wan(nudge.city_day_m3 as f64);
    match (nudge.reason, language) {
        (why, Language::Zh) => {
            let weather = nudge
                .temperature_c
                .map_or(String::new(), |t| format!("预报均温{t:.0}℃，"));
            let tail = match why {
                PeakReason::AboveRecentPeaks => "高峰小时高于近30日日高峰均值",
                PeakReason::AboveNomination => "预计超过当日指定量",
            };
            format!("{weather}全市预计{day}万m³，{tail}")
        }
        (why, Language::En) => {
            let weather = nudge
                .temperature_c
                .map_or(String::new(), |t| format!("mean temperature {t:.0} °C, "));
            let tail = match why {
                PeakReason::AboveRecentPeaks => {
                    "its peak hours above the mean daily peak of the last 30 days"
                }
                PeakReason::AboveNomination => "probably above the day's nomination",
            };
            format!("{weather}city demand of about {day} ×10⁴ m³, {tail}")
        }
    }
}

/// One hour after the window, when the peak has passed.
fn shift_to(nudge: &Nudge, language: Language) -> String {
    let after = beijing_civil(nudge.window_to + TimeDelta::hours(1));
    match language {
        Language::Zh => format!("{} 后", after.format("%H:%M")),
        Language::En => format!("after {}", after.format("%H:%M")),
    }
}

#[cfg(test)]
mod tests;
