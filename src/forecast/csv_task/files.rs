//! The files of a scoring task: the task itself, observations, weather ahead, holidays, and the
//! forecasts written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde::Deserialize;

use super::Mode;
use crate::forecast::ForecastError;

/// Step of a task's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Freq {
    /// Days.
    #[serde(rename = "D")]
    Daily,
    /// Hours.
    #[serde(rename = "h")]
    Hourly,
    /// Months, named by their first day.
    #[serde(rename = "MS")]
    Monthly,
}

/// `tasks/<task>.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Task {
    /// Name, that of the weather files.
    pub name: String,
    /// File under `data/`.
    pub file: String,
    /// Series to forecast.
    pub series: Vec<String>,
    /// Step.
    pub freq: Freq,
    /// Steps ahead.
    pub horizon: usize,
    /// Last instants known.
    pub origins: Vec<String>,
    /// Country of each series, for holidays.
    #[serde(default)]
    pub country: BTreeMap<String, Option<String>>,
}

/// One observed row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Start of the step.
    pub at: NaiveDateTime,
    /// Value; NaN if empty.
    pub value: f64,
    /// °C; NaN if empty.
    pub temperature: f64,
}

/// Temperatures after an origin, by series and origin.
pub type Ahead = BTreeMap<(String, NaiveDateTime), BTreeMap<NaiveDateTime, f64>>;
/// Public holidays by country and date.
pub type Holidays = BTreeMap<String, BTreeMap<NaiveDate, String>>;

/// Rows of a series whose timestamp was there before, and the first such timestamp.
pub type Repeats = BTreeMap<String, (usize, NaiveDateTime)>;

/// Everything a task reads.
#[derive(Debug)]
pub struct TaskFiles {
    /// The task.
    pub task: Task,
    /// Origins, parsed.
    pub origins: Vec<NaiveDateTime>,
    /// Observations by series, in time order.
    pub rows: BTreeMap<String, Vec<Row>>,
    /// Series with repeated timestamps, of which the mean was taken.
    pub repeats: Repeats,
    /// Weather ahead of modes `clim` and `noisy`.
    pub ahead: Ahead,
    /// Holidays.
    pub holidays: Holidays,
}

impl TaskFiles {
    /// Reads a task and what lies beside its folder.
    pub fn read(path: &Path, mode: Mode) -> Result<Self, ForecastError> {
        let text = read(path)?;
        let task: Task = serde_json::from_str(&text).map_err(|e| bad(path, e.to_string()))?;
        if task.horizon == 0 || task.origins.is_empty() || task.series.is_empty() {
            return Err(bad(
                path,
                "needs a horizon of at least 1, origins and series".into(),
            ));
        }
        let root = path
            .parent()
            .and_then(Path::parent)
            .map_or_else(PathBuf::new, Path::to_path_buf);
        let origins = task
            .origins
            .iter()
            .map(|text| {
                instant(text)
                    .ok_or_else(|| bad(path, format!("origin `{text}` is not a date or time")))
            })
            .collect::<Result<_, _>>()?;
        let (rows, repeats) = observations(&root.join("data").join(&task.file), &task.series)?;
        let ahead = match mode {
            Mode::Clim | Mode::Noisy => weather(&root.join("weather").join(format!(
                "{}.{}.csv",
                task.name,
                mode.key()
            )))?,
            Mode::Perfect | Mode::None => Ahead::new(),
        };
        let holidays_path = root.join("data").join("holidays.csv");
        let holidays = if holidays_path.exists() {
            holidays(&holidays_path)?
        } else {
            Holidays::new()
        };
        Ok(Self {
            task,
            origins,
            rows,
            repeats,
            ahead,
            holidays,
        })
    }
}

fn read(path: &Path) -> Result<String, ForecastError> {
    fs::read_to_string(path).map_err(|source| ForecastError::File {
        path: path.to_path_buf(),
        action: "read",
        source,
    })
}

fn bad(path: &Path, what: String) -> ForecastError {
    ForecastError::Task {
        path: path.to_path_buf(),
        what,
    }
}

/// `YYYY-MM-DD`, or with ` HH:MM:SS` or `THH:MM:SS`.
pub fn instant(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    // A task of ten thousand customers has millions of days; the general parser takes a third of
    // the time of reading them.
    if let Some(date) = plain_date(text.as_bytes()) {
        return Some(date.and_time(NaiveTime::MIN));
    }
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))
        .ok()
        .or_else(|| {
            text.parse::<NaiveDate>()
                .ok()
                .map(|d| d.and_time(NaiveTime::MIN))
        })
}

/// `YYYY-MM-DD` and nothing else.
fn plain_date(text: &[u8]) -> Option<NaiveDate> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else {
        return None;
    };
    let number = |digits: &[&u8]| {
        digits.iter().try_fold(0_u32, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + u32::from(**digit - b'0'))
        })
    };
    let year = i32::try_from(number(&[y0, y1, y2, y3])?).ok()?;
    NaiveDate::from_ymd_opt(year, number(&[m0, m1])?, number(&[d0, d1])?)
}

/// Rows of a CSV file as the wanted columns, in the order asked for.
fn table<const N: usize>(
    path: &Path,
    columns: [&str; N],
    mut each: impl FnMut([&str; N]) -> Result<(), String>,
) -> Result<(), ForecastError> {
    // Read in pieces: the file of a large task would be most of the memory.
    let file = fs::File::open(path).map_err(|source| ForecastError::File {
        path: path.to_path_buf(),
        action: "read",
        source,
    })?;
    let mut reader = csv::Reader::from_reader(file);
    let headers = reader
        .headers()
        .map_err(|e| bad(path, e.to_string()))?
        .clone();
    let positions = columns
        .iter()
        .map(|name| {
            headers
                .iter()
                .position(|h| h == *name)
                .ok_or_else(|| bad(path, format!("has no column `{name}`")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut record = csv::StringRecord::new();
    let mut line = 1_u32;
    while reader
        .read_record(&mut record)
        .map_err(|e| bad(path, e.to_string()))?
    {
        line += 1;
        let fields = std::array::from_fn(|k| {
            let column = positions.get(k);
            column.and_then(|i| record.get(*i)).unwrap_or("")
        });
        each(fields).map_err(|what| bad(path, format!("line {line}: {what}")))?;
    }
    Ok(())
}

fn number(text: &str) -> Result<f64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(f64::NAN);
    }
    let value: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))?;
    if value.is_infinite() {
        return Err(format!("`{text}` is not a finite number"));
    }
    Ok(value)
}

fn at(text: &str) -> Result<NaiveDateTime, String> {
    instant(text)
        .ok_or_else(|| format!("`{text}` is not a date or time; write YYYY-MM-DD HH:MM:SS"))
}

fn observations(
    path: &Path,
    series: &[String],
) -> Result<(BTreeMap<String, Vec<Row>>, Repeats), ForecastError> {
    let mut rows: BTreeMap<String, Vec<Row>> =
        series.iter().map(|s| (s.clone(), Vec::new())).collect();
    let mut current: Option<String> = None;
    let mut of_current = Vec::new();
    let flush =
        |rows: &mut BTreeMap<String, Vec<Row>>, name: Option<String>, new: &mut Vec<Row>| {
            if let Some(of_series) = name.and_then(|name| rows.get_mut(&name)) {
                of_series.extend_from_slice(new);
            }
            new.clear();
        };
    table(
        path,
        ["timestamp", "series", "value", "temperature"],
        |fields| {
            // Rows of a series mostly follow each other.
            if current.as_deref() != Some(fields[1]) {
                flush(&mut rows, current.take(), &mut of_current);
                current = rows.contains_key(fields[1]).then(|| fields[1].to_owned());
            }
            if current.is_some() {
                of_current.push(Row {
                    at: at(fields[0])?,
                    value: number(fields[2])?,
                    temperature: number(fields[3])?,
                });
            }
            Ok(())
        },
    )?;
    flush(&mut rows, current, &mut of_current);
    let mut repeats = BTreeMap::new();
    for (name, of_series) in &mut rows {
        of_series.sort_by_key(|row| row.at);
        if let Some(first) = merge_repeats(of_series) {
            repeats.insert(name.clone(), first);
        }
    }
    Ok((rows, repeats))
}

/// Rows that repeat a timestamp (the hour a clock is set back, a file joined twice) become one row
/// of their means. How many there were, and the first of them.
fn merge_repeats(rows: &mut Vec<Row>) -> Option<(usize, NaiveDateTime)> {
    let first = rows.windows(2).find(|pair| pair[0].at == pair[1].at)?[0].at;
    let before = rows.len();
    let mean = |of_step: &[Row], pick: fn(&Row) -> f64| {
        let (sum, count) = of_step
            .iter()
            .map(pick)
            .filter(|v| v.is_finite())
            .fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
        if count > 0.0 { sum / count } else { f64::NAN }
    };
    *rows = rows
        .chunk_by(|a, b| a.at == b.at)
        .map(|of_step| Row {
            at: of_step[0].at,
            value: mean(of_step, |row| row.value),
            temperature: mean(of_step, |row| row.temperature),
        })
        .collect();
    Some((before - rows.len(), first))
}

fn weather(path: &Path) -> Result<Ahead, ForecastError> {
    let mut ahead = Ahead::new();
    table(
        path,
        ["origin", "series", "timestamp", "temperature"],
        |fields| {
            ahead
                .entry((fields[1].to_owned(), at(fields[0])?))
                .or_default()
                .insert(at(fields[2])?, number(fields[3])?);
            Ok(())
        },
    )?;
    Ok(ahead)
}

fn holidays(path: &Path) -> Result<Holidays, ForecastError> {
    let mut out = Holidays::new();
    table(path, ["date", "country", "name"], |fields| {
        out.entry(fields[1].to_owned())
            .or_default()
            .insert(at(fields[0])?.date(), fields[2].to_owned());
        Ok(())
    })?;
    Ok(out)
}

/// One forecast row.
#[derive(Debug, Clone, Copy)]
pub struct OutRow {
    /// Origin.
    pub origin: NaiveDateTime,
    /// Step.
    pub at: NaiveDateTime,
    /// P10, P50, P90.
    pub quantiles: [f64; 3],
    /// The model that the history allowed, best first: `regression` or `seasonal_smoothing`, then
    /// `seasonal_naive`.
    pub quality: &'static str,
}

/// Writes the forecasts of all series.
pub fn write(path: &Path, rows: &[(String, Vec<OutRow>)]) -> Result<(), ForecastError> {
    let mut lines = vec!["origin,series,timestamp,q10,q50,q90,quality".to_owned()];
    for (series, of_series) in rows {
        for row in of_series {
            let [low, mid, high] = row.quantiles;
            let origin = row.origin.format("%Y-%m-%d %H:%M:%S");
            let at = row.at.format("%Y-%m-%d %H:%M:%S");
            lines.push(format!(
                "{origin},{series},{at},{low:.6},{mid:.6},{high:.6},{}",
                row.quality
            ));
        }
    }
    lines.push(String::new());
    let text = lines.join("\n");
    fs::write(path, text).map_err(|source| ForecastError::File {
        path: path.to_path_buf(),
        action: "write",
        source,
    })
}
