//! What a finding says: a sentence of its rule in Chinese and English, and the numbers in it.
//!
//! A rule names a [`Sentence`] and fills it with typed [`Arg`]s. Sentence and numbers are kept, not the
//! text; whoever shows the finding composes it in the reader's language.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::finding::RuleId;
use crate::domain::finding::terms::term;
use crate::domain::language::Language;
use crate::domain::quantity::WorkVolume;

/// A sentence with places for numbers, `{name}` or, with so many decimals, `{name:1}`.
#[derive(Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Whose it is.
    pub rule: RuleId,
    /// Its name within the rule, in the store and in the API.
    pub key: &'static str,
    /// In Chinese.
    pub zh: &'static str,
    /// In English.
    pub en: &'static str,
}

/// The unit of a number in a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A count, a ratio, or what the item beside it says.
    One,
    /// m³
    M3,
    /// m³/h
    M3PerHour,
    /// °C
    Celsius,
    /// kPa
    Kpa,
    /// %
    Percent,
    /// dBm
    Dbm,
    /// s
    Second,
    /// min
    Minute,
    /// h
    Hour,
    /// d
    Day,
}

impl Unit {
    /// The word in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::M3 => "m3",
            Self::M3PerHour => "m3_per_hour",
            Self::Celsius => "celsius",
            Self::Kpa => "kpa",
            Self::Percent => "percent",
            Self::Dbm => "dbm",
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    const fn symbols(self) -> (&'static str, &'static str) {
        match self {
            Self::One => ("", ""),
            Self::M3 => (" m³", " m³"),
            Self::M3PerHour => (" m³/h", " m³/h"),
            Self::Celsius => (" ℃", " °C"),
            Self::Kpa => (" kPa", " kPa"),
            Self::Percent => (" %", " %"),
            Self::Dbm => (" dBm", " dBm"),
            Self::Second => (" 秒", " s"),
            Self::Minute => (" 分钟", " min"),
            Self::Hour => (" 小时", " h"),
            Self::Day => (" 天", " days"),
        }
    }
}

/// A value in a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// An exact total or volume.
    Volume {
        /// m³, to 1e-4.
        m3: WorkVolume,
    },
    /// A number.
    Number {
        /// The number; always finite.
        value: f64,
        /// Of what.
        unit: Unit,
    },
    /// An instant.
    Time {
        /// When.
        at: DateTime<Utc>,
    },
    /// A gas day.
    Day {
        /// Which.
        day: GasDay,
    },
    /// Words that both languages have: items, alarms, ways of transport.
    Terms {
        /// Their keys.
        terms: Vec<Cow<'static, str>>,
    },
    /// Text that is the same in both languages: names, values of mixed kinds.
    Text {
        /// The text.
        text: String,
    },
}

/// A named value of a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arg {
    /// The place in the sentence.
    pub name: Cow<'static, str>,
    /// What stands there.
    #[serde(flatten)]
    pub value: Value,
}

impl Arg {
    const fn new(name: &'static str, value: Value) -> Self {
        let name = Cow::Borrowed(name);
        Self { name, value }
    }

    /// A total or volume, units of 1e-4 m³.
    pub const fn volume(name: &'static str, units: i64) -> Self {
        let m3 = WorkVolume::from_units(units);
        Self::new(name, Value::Volume { m3 })
    }

    /// A number; one that is not finite becomes 0, which JSON can hold.
    pub fn number(name: &'static str, value: f64, unit: Unit) -> Self {
        let value = if value.is_finite() { value } else { 0.0 };
        Self::new(name, Value::Number { value, unit })
    }

    /// A whole number.
    pub fn count(name: &'static str, count: usize, unit: Unit) -> Self {
        Self::number(name, count as f64, unit)
    }

    /// An instant.
    pub const fn time(name: &'static str, at: DateTime<Utc>) -> Self {
        Self::new(name, Value::Time { at })
    }

    /// A gas day.
    pub const fn day(name: &'static str, day: GasDay) -> Self {
        Self::new(name, Value::Day { day })
    }

    /// A word that both languages have.
    pub fn term(name: &'static str, key: &'static str) -> Self {
        Self::terms(name, [key])
    }

    /// Several of them.
    pub fn terms(name: &'static str, keys: impl IntoIterator<Item = &'static str>) -> Self {
        let terms = keys.into_iter().map(Cow::Borrowed).collect();
        Self::new(name, Value::Terms { terms })
    }

    /// Text that needs no translation.
    pub fn text(name: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(name, Value::Text { text })
    }
}

impl Value {
    /// The value for programs: exact, without a unit; terms by their keys.
    pub fn plain(&self) -> String {
        match self {
            Self::Volume { m3 } => m3.to_string(),
            Self::Number { value, .. } => value.to_string(),
            Self::Time { at } => at.to_rfc3339(),
            Self::Day { day } => day.to_string(),
            Self::Terms { terms } => terms.join(","),
            Self::Text { text } => text.clone(),
        }
    }

    /// Its unit, if it has one.
    pub const fn unit(&self) -> Option<Unit> {
        match self {
            Self::Volume { .. } => Some(Unit::M3),
            Self::Number { unit, .. } => Some(*unit),
            _ => None,
        }
    }
}

/// The sentence with its places filled; a place without a value stays as it is.
pub(super) fn compose(sentence: &Sentence, args: &[Arg], language: Language) -> String {
    let template = language.of(sentence.zh, sentence.en);
    let mut text = String::with_capacity(template.len() + 16 * args.len());
    for part in parts(template) {
        match part {
            Part::Text(words) => text.push_str(words),
            Part::Place { name, decimals } => {
                if let Some(arg) = args.iter().find(|arg| arg.name == name) {
                    show(&mut text, &arg.value, decimals, language);
                } else {
                    text.extend(["{", name, "}"]);
                }
            }
        }
    }
    text
}

fn show(text: &mut String, value: &Value, decimals: Option<usize>, language: Language) {
    let pick = |(zh, en): (&'static str, &'static str)| language.of(zh, en);
    let shown = match value {
        Value::Volume { m3 } => format!("{m3} m³"),
        Value::Number { value, unit } => {
            let unit = pick(unit.symbols());
            match decimals {
                Some(decimals) => format!("{value:.decimals$}{unit}"),
                None => format!("{value}{unit}"),
            }
        }
        Value::Time { at } => {
            let civil = beijing_civil(*at);
            let form = pick(("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S %:z"));
            civil.format(form).to_string()
        }
        Value::Day { day } => day.to_string(),
        Value::Terms { terms } => {
            let words: Vec<&str> = terms
                .iter()
                .map(|key| term(key).map_or(key.as_ref(), pick))
                .collect();
            words.join(pick(("、", ", ")))
        }
        Value::Text { text } => text.clone(),
    };
    text.push_str(&shown);
}

pub(super) enum Part<'a> {
    Text(&'a str),
    Place {
        name: &'a str,
        decimals: Option<usize>,
    },
}

/// A template as text and places.
pub(super) fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((place, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            rest = after;
            let (name, decimals) = place
                .split_once(':')
                .map_or((place, None), |(name, digits)| (name, digits.parse().ok()));
            return Some(Part::Place { name, decimals });
        }
        // A brace that closes nowhere is text.
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '{')
            .map_or(rest.len(), |(index, _)| index);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Part::Text(text))
    })
}

impl Sentence {
    /// The names of its places in both languages, sorted, each once.
    pub fn places(&self) -> [Vec<&'static str>; 2] {
        [self.zh, self.en].map(|template| {
            let mut names: Vec<&'static str> = parts(template)
                .filter_map(|part| match part {
                    Part::Place { name, .. } => Some(name),
                    Part::Text(_) => None,
                })
                .collect();
            names.sort_unstable();
            names.dedup();
            names
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTENCE: Sentence = Sentence {
        rule: RuleId::V08,
        key: "test",
        zh: "{what} 为 {value:1},上限 {limit},自 {since},{total}, {none} {",
        en: "{what} is {value:1}, at most {limit}, since {since}, {total}, {none} {",
    };

    #[test]
    fn places_are_filled_in_both_languages() {
        let args = [
            Arg::terms("what", ["temperature_c", "unlisted"]),
            Arg::number("value", 12.25, Unit::Percent),
            Arg::count("limit", 3, Unit::Day),
            Arg::time("since", DateTime::from_timestamp(1_795_219_200, 0).unwrap()),
            Arg::volume("total", 12_345),
        ];
        assert_eq!(
            compose(&SENTENCE, &args, Language::En),
            "temperature, another alarm is 12.2 %, at most 3 days, since 2026-11-21 08:00:00 \
             +08:00, 1.2345 m³, {none} {"
        );
        assert_eq!(
            compose(&SENTENCE, &args, Language::Zh),
            "温度、其他告警 为 12.2 %,上限 3 天,自 2026-11-21 08:00:00,1.2345 m³, {none} {"
        );
    }

    #[test]
    fn args_survive_json_and_exact_numbers_stay_exact() {
        let args = vec![
            Arg::volume("a", 99_999_999_999_999),
            Arg::number("b", 0.1, Unit::Kpa),
            Arg::number("c", f64::INFINITY, Unit::One),
            Arg::day("d", "2026-11-21".parse().unwrap()),
            Arg::time("e", DateTime::from_timestamp(1_795_219_200, 0).unwrap()),
            Arg::term("f", "magnetic"),
            Arg::text("g", "2026"),
        ];
        let json = serde_json::to_string(&args).unwrap();
        assert!(
            json.starts_with(
                r#"[{"name":"a","m3":"9999999999.9999"},{"name":"b","value":0.1,"unit":"kpa"}"#
            ),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Vec<Arg>>(&json).unwrap(), args);
    }
}
