//! A profile file as it is written: TOML with the place of everything, so that each problem has
//! its line, and each table is read on its own, so that one mistake does not hide the next.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::decode::code::problem;
use crate::decode::registers::{ByteOrder, RawBits, RawFraction, RawHigh, RegisterType};
use crate::domain::problem::Problem;
use crate::domain::reading::Alarm;

/// A `[[field]]` or `[[message.field]]`: the keys of every codec; each codec checks its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) name: Spanned<String>,
    pub(super) unit: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) optional: bool,
    /// JSON pointer, or a part of a built-in frame.
    pub(super) at: Option<Spanned<String>>,
    pub(super) function: Option<Spanned<u8>>,
    pub(super) register: Option<Spanned<u16>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Spanned<RegisterType>>,
    pub(super) words: Option<Spanned<u16>>,
    pub(super) order: Option<ByteOrder>,
    pub(super) decimals: Option<Spanned<i8>>,
    pub(super) fraction: Option<Spanned<RawFraction>>,
    pub(super) high: Option<Spanned<RawHigh>>,
    pub(super) bits: Option<Spanned<RawBits>>,
    pub(super) scale: Option<Spanned<f64>>,
    pub(super) offset: Option<Spanned<f64>>,
    #[serde(default)]
    pub(super) none: Vec<Spanned<String>>,
    pub(super) mask: Option<Spanned<u16>>,
    pub(super) values: Option<Spanned<BTreeMap<String, f64>>>,
    #[serde(default)]
    pub(super) inexact: bool,
}

impl RawField {
    /// The keys that some codecs have and others have not, and where they stand if they are there.
    pub(super) fn codec_keys(&self) -> [(&'static str, Option<Range<usize>>); 11] {
        fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
            value.map(Spanned::span)
        }
        [
            ("at", span(self.at.as_ref())),
            ("function", span(self.function.as_ref())),
            ("register", span(self.register.as_ref())),
            ("type", span(self.kind.as_ref())),
            ("words", span(self.words.as_ref())),
            ("decimals", span(self.decimals.as_ref())),
            ("fraction", span(self.fraction.as_ref())),
            ("high", span(self.high.as_ref())),
            ("bits", span(self.bits.as_ref())),
            ("none", span(self.none.first())),
            ("mask", span(self.mask.as_ref())),
        ]
    }
}

/// An `[[alarm]]` or `[[message.alarm]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlarm {
    pub(super) at: Option<Spanned<String>>,
    pub(super) function: Option<Spanned<u8>>,
    pub(super) register: Option<Spanned<u16>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Spanned<RegisterType>>,
    pub(super) order: Option<ByteOrder>,
    #[serde(default)]
    pub(super) bits: BTreeMap<Spanned<String>, Alarm>,
    #[serde(default)]
    pub(super) texts: BTreeMap<String, Alarm>,
}

/// A `[[test]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTest {
    pub(super) name: Spanned<String>,
    pub(super) json: Option<Spanned<String>>,
    pub(super) hex: Option<Spanned<String>>,
    pub(super) rtu: Option<Vec<Spanned<RawRtu>>>,
    /// A telegram that is text.
    pub(super) text: Option<Spanned<String>>,
    /// AES-128 key of the frame's device, hexadecimal; one made for the test or published.
    pub(super) key: Option<Spanned<String>>,
    pub(super) received_at: Option<Spanned<String>>,
    pub(super) reject: Option<Spanned<String>>,
    pub(super) device: Option<String>,
    pub(super) sampled_at: Option<Spanned<String>>,
    pub(super) clock_at: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) items: BTreeMap<Spanned<String>, RawExpected>,
    #[serde(default)]
    pub(super) alarms: Vec<Alarm>,
    #[serde(default)]
    pub(super) frozen: Vec<Spanned<RawFrozen>>,
}

/// A request and its reply as they go over a serial line, checksums included.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRtu {
    pub(super) request: String,
    pub(super) reply: String,
}

/// An expected value: a decimal string for an exact total, a number for telemetry.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum RawExpected {
    /// Exact, m³.
    Exact(String),
    /// Telemetry.
    Float(f64),
}

/// A `[[test.frozen]]`; an empty string stands for a total the device did not have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFrozen {
    pub(super) item: String,
    pub(super) first_at: String,
    pub(super) step_s: u32,
    pub(super) totals: Vec<String>,
}

/// Reads one file and gathers its problems.
#[derive(Debug)]
pub(super) struct FileReader<'t> {
    file: PathBuf,
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> FileReader<'t> {
    pub(super) fn new(file: &Path, text: &'t str) -> Self {
        Self {
            file: file.to_owned(),
            text,
            problems: Vec::new(),
        }
    }

    /// The whole document; its syntax errors are problems.
    pub(super) fn document(&mut self) -> DeTable<'t> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.toml_error(&error, problem::SYNTAX, "correct the TOML");
        }
        table.into_inner()
    }

    /// The problems, in the order of the file.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Line of a byte offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let head = self.text.as_bytes().get(..offset).unwrap_or_default();
        1 + head.split(|b| *b == b'\n').skip(1).count()
    }

    pub(super) fn problem(
        &mut self,
        span: Option<Range<usize>>,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let line = span.map(|s| self.line(s.start));
        self.problems.push(Problem {
            file: self.file.clone(),
            line,
            code,
            message: message.into(),
            remedy: remedy.into(),
            is_warning: false,
        });
    }

    fn toml_error(&mut self, error: &toml::de::Error, code: &'static str, remedy: &str) {
        let message = error.message().replace('\n', ", ");
        self.problem(error.span(), code, message, remedy);
    }

    /// Reads a value into a type; its first mistake is a problem.
    pub(super) fn read<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'t>>) -> Option<T> {
        match T::deserialize(toml::de::ValueDeserializer::from(value)) {
            Ok(read) => Some(read),
            Err(error) => {
                if error.message().starts_with("unknown field") {
                    self.toml_error(&error, problem::KEY, "correct the key or remove it");
                } else {
                    self.toml_error(
                        &error,
                        problem::VALUE,
                        "write it as device-profiles/README.md says",
                    );
                }
                None
            }
        }
    }

    /// Takes and reads a key that must be there.
    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        table: &mut DeTable<'t>,
        key: &str,
        remedy: &str,
    ) -> Option<T> {
        let Some(value) = table.remove(key) else {
            self.problem(
                Some(0..0),
                problem::VALUE,
                format!("key `{key}` is missing"),
                remedy,
            );
            return None;
        };
        self.read(value)
    }

    /// Takes an array of tables as it is.
    pub(super) fn tables(
        &mut self,
        table: &mut DeTable<'t>,
        key: &str,
    ) -> Vec<Spanned<DeValue<'t>>> {
        let Some(value) = table.remove(key) else {
            return Vec::new();
        };
        let span = value.span();
        if let DeValue::Array(items) = value.into_inner() {
            items.into_iter().collect()
        } else {
            self.problem(
                Some(span),
                problem::VALUE,
                format!("`{key}` is no array of tables"),
                format!("write [[{key}]]"),
            );
            Vec::new()
        }
    }

    /// Takes an array of tables and reads each.
    pub(super) fn all<T: DeserializeOwned>(
        &mut self,
        table: &mut DeTable<'t>,
        key: &str,
    ) -> Vec<(Range<usize>, T)> {
        self.tables(table, key)
            .into_iter()
            .filter_map(|value| {
                let span = value.span();
                self.read(value).map(|read| (span, read))
            })
            .collect()
    }

    /// Every key that is left is one the format does not have.
    pub(super) fn no_more(&mut self, table: &DeTable<'t>, known: &str) {
        for (key, _) in table {
            self.problem(
                Some(key.span()),
                problem::KEY,
                format!("unknown key `{}`", key.get_ref()),
                format!("this codec has {known}"),
            );
        }
    }
}
