//! Reading the files: rows with their line, and a problem for each that cannot be read.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::domain::contract::SupplyContract;
use crate::domain::problem::Problem;
use crate::domain::text::one_line;

/// A value and the line it was read from.
#[derive(Debug)]
pub(super) struct Row<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// Reads the files of one folder and gathers problems.
#[derive(Debug)]
pub(super) struct Reader {
    dir: PathBuf,
    pub(super) problems: Vec<Problem>,
    pub(super) hasher: Sha256,
}

#[derive(Deserialize)]
struct ContractFile {
    #[serde(default)]
    contract: Vec<toml::Spanned<toml::Value>>,
}

impl Reader {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            problems: Vec::new(),
            hasher: Sha256::new(),
        }
    }

    fn text(&mut self, name: &str, is_required: bool) -> Option<String> {
        let file = self.dir.join(name);
        match fs::read_to_string(&file) {
            Ok(text) => {
                super::hash_into(&mut self.hasher, name, &text);
                Some(text)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_required => None,
            Err(error) => {
                self.problems.push(Problem {
                    file,
                    line: None,
                    code: "registry.file_unreadable",
                    message: format!("cannot read the file: {error}"),
                    remedy: "create it (`qiliang simulate --out DIR` writes a complete example) \
                             or mend its rights"
                        .into(),
                    is_warning: false,
                });
                None
            }
        }
    }

    /// A TOML file that is one value.
    pub(super) fn toml<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name, true)?;
        match toml::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.toml_problem(name, &text, 0, &error);
                None
            }
        }
    }

    /// `[[contract]]` entries, each read on its own so that one bad contract hides no other.
    pub(super) fn contracts(&mut self, name: &str) -> Vec<Row<SupplyContract>> {
        let Some(text) = self.text(name, true) else {
            return Vec::new();
        };
        let parsed: ContractFile = match toml::from_str(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.toml_problem(name, &text, 0, &error);
                return Vec::new();
            }
        };
        let mut rows = Vec::new();
        for entry in parsed.contract {
            let start = entry.span().start;
            let line = line_of(&text, start);
            match entry.into_inner().try_into::<SupplyContract>() {
                Ok(value) => rows.push(Row { line, value }),
                Err(error) => self.problems.push(Problem {
                    file: self.dir.join(name),
                    line: Some(line),
                    code: "registry.contract_invalid",
                    message: one_line(&error.to_string()),
                    remedy: "mend the contract that starts at this line".into(),
                    is_warning: false,
                }),
            }
        }
        rows
    }

    fn toml_problem(&mut self, name: &str, text: &str, offset: usize, error: &toml::de::Error) {
        let line = error.span().map(|span| line_of(text, offset + span.start));
        self.problems.push(Problem {
            file: self.dir.join(name),
            line,
            code: "registry.toml_invalid",
            message: one_line(error.message()),
            remedy: "mend the line; config/README.md lists the keys".into(),
            is_warning: false,
        });
    }

    /// The rows of a CSV file; a row that cannot be read becomes a problem.
    pub(super) fn csv<T: DeserializeOwned>(
        &mut self,
        name: &str,
        columns: &[&str],
        is_required: bool,
    ) -> Vec<Row<T>> {
        self.csv_with(name, columns, &[], is_required)
    }

    /// The same with columns that may be left out.
    pub(super) fn csv_with<T: DeserializeOwned>(
        &mut self,
        name: &str,
        columns: &[&str],
        more: &[&str],
        is_required: bool,
    ) -> Vec<Row<T>> {
        let Some(text) = self.text(name, is_required) else {
            return Vec::new();
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        if !self.has_columns(name, columns, more, reader.headers()) {
            return Vec::new();
        }
        let headers = reader.headers().cloned().unwrap_or_default();
        let mut rows = Vec::new();
        let mut record = csv::StringRecord::new();
        loop {
            let outcome = match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => record.deserialize(Some(&headers)),
                Err(error) => Err(error),
            };
            let line = record
                .position()
                .and_then(|p| usize::try_from(p.line()).ok())
                .unwrap_or(1);
            match outcome {
                Ok(value) => rows.push(Row { line, value }),
                Err(error) => {
                    let (line, message) = describe(&error, line, &headers, &record);
                    self.problems.push(Problem {
                        file: self.dir.join(name),
                        line: Some(line),
                        code: "registry.row_invalid",
                        message,
                        remedy: "mend the row; config/README.md describes each column".into(),
                        is_warning: false,
                    });
                }
            }
        }
        rows
    }

    fn has_columns(
        &mut self,
        name: &str,
        columns: &[&str],
        more: &[&str],
        headers: Result<&csv::StringRecord, csv::Error>,
    ) -> bool {
        let headers = match headers {
            Ok(headers) => headers,
            Err(error) => {
                self.column_problem(name, format!("cannot read the header: {error}"), columns);
                return false;
            }
        };
        let unknown: Vec<String> = headers
            .iter()
            .filter(|h| !columns.contains(h) && !more.contains(h))
            .map(|h| format!("`{h}`"))
            .collect();
        let missing: Vec<String> = columns
            .iter()
            .filter(|c| !headers.iter().any(|h| h == **c))
            .map(|c| format!("`{c}`"))
            .collect();
        if !unknown.is_empty() {
            let message = format!("unknown column {}", unknown.join(", "));
            self.column_problem(name, message, columns);
        }
        if !missing.is_empty() {
            let message = format!("missing column {}", missing.join(", "));
            self.column_problem(name, message, columns);
        }
        // An unknown column is no reason to hide what is wrong in the others.
        missing.is_empty()
    }

    fn column_problem(&mut self, name: &str, message: String, columns: &[&str]) {
        self.problems.push(Problem {
            file: self.dir.join(name),
            line: Some(1),
            code: "registry.columns",
            message,
            remedy: format!("the header must be {}", columns.join(",")),
            is_warning: false,
        });
    }
}

fn describe(
    error: &csv::Error,
    line: usize,
    headers: &csv::StringRecord,
    record: &csv::StringRecord,
) -> (usize, String) {
    if let csv::ErrorKind::Deserialize { pos, err } = error.kind() {
        let line = pos
            .as_ref()
            .and_then(|p| usize::try_from(p.line()).ok())
            .unwrap_or(line);
        let text = one_line(&err.kind().to_string());
        // The crate names no field for an unknown word; the word itself finds its column.
        let by_word = || {
            let word = text.split('`').nth(1)?;
            record.iter().position(|value| value == word)
        };
        let column = err
            .field()
            .and_then(|f| usize::try_from(f).ok())
            .or_else(by_word)
            .and_then(|f| headers.get(f))
            .map(|name| format!("column `{name}`: "))
            .unwrap_or_default();
        return (line, format!("{column}{text}"));
    }
    if let csv::ErrorKind::UnequalLengths {
        pos,
        expected_len,
        len,
    } = error.kind()
    {
        let line = pos
            .as_ref()
            .and_then(|p| usize::try_from(p.line()).ok())
            .unwrap_or(line);
        return (
            line,
            format!("{len} fields where the header has {expected_len}"),
        );
    }
    (line, one_line(&error.to_string()))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}
