//! Reads the folder of holiday calendars.

use std::fs;
use std::path::Path;

use chrono::{Datelike as _, NaiveDate, Weekday};

use crate::domain::calendar::{Calendar, CalendarYear};
use crate::domain::problem::Problem;

/// Reads every `<year>.toml`; years needed but not there, or not official yet, are warnings.
pub fn load(dir: &Path, needed: std::ops::RangeInclusive<i32>) -> (Calendar, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut years = Vec::new();
    let mut files: Vec<_> = match fs::read_dir(dir) {
        Ok(entries) => entries.filter_map(Result::ok).map(|e| e.path()).collect(),
        Err(error) => {
            problems.push(problem(
                dir,
                None,
                "calendar.unreadable",
                format!("cannot read the calendar folder: {error}"),
                "set paths.calendar_dir to the folder with <year>.toml files",
                false,
            ));
            Vec::new()
        }
    };
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    for file in files {
        match read_year(&file) {
            Ok(year) => {
                problems.extend(check_year(&file, &year));
                if !year.is_official && needed.contains(&year.year) {
                    problems.push(problem(
                        &file,
                        Some(1),
                        "calendar.not_official",
                        format!("the calendar of {} holds statutory days only", year.year),
                        "replace it when the State Council's annual notice is out",
                        true,
                    ));
                }
                years.push(year);
            }
            Err(found) => problems.push(*found),
        }
    }
    let calendar = Calendar::new(years);
    for year in needed {
        if !calendar.covers(year) {
            problems.push(problem(
                &dir.join(format!("{year}.toml")),
                None,
                "calendar.year_missing",
                format!("there is no calendar of {year}: its holidays count as plain weekdays"),
                "add the file; config/README.md tells its format",
                true,
            ));
        }
    }
    (calendar, problems)
}

fn read_year(file: &Path) -> Result<CalendarYear, Box<Problem>> {
    let text = fs::read_to_string(file).map_err(|error| {
        Box::new(problem(
            file,
            None,
            "calendar.unreadable",
            format!("cannot read the file: {error}"),
            "mend its rights",
            false,
        ))
    })?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map(|span| {
            text.bytes()
                .take(span.start)
                .filter(|b| *b == b'\n')
                .count()
                + 1
        });
        Box::new(problem(
            file,
            line,
            "calendar.invalid",
            error
                .message()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            "mend the line; config/README.md tells the format",
            false,
        ))
    })
}

/// What cannot be in any year's notice: a slip of the pen would else shift every holiday effect.
fn check_year(file: &Path, year: &CalendarYear) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut add = |message: String, remedy: &str| {
        out.push(problem(
            file,
            None,
            "calendar.implausible",
            message,
            remedy,
            false,
        ));
    };
    let named = file.file_stem().and_then(|stem| stem.to_str());
    if named != Some(year.year.to_string().as_str()) {
        add(
            format!(
                "the file is named for another year than `year = {}`",
                year.year
            ),
            "name the file <year>.toml, one year a file",
        );
    }
    let festival = year.spring_festival;
    // The second new moon after the winter solstice falls between these two.
    let is_lunar_new_year = festival.year() == year.year
        && matches!(
            (festival.month(), festival.day()),
            (1, 20..=31) | (2, 1..=21)
        );
    if !is_lunar_new_year {
        add(
            format!("spring_festival = {festival} is no first day of a lunar year"),
            "write 正月初一, between 20 January and 21 February of the year",
        );
    }
    let covers = |date: NaiveDate| {
        year.holidays
            .iter()
            .any(|span| span.from <= date && date <= span.to)
    };
    if is_lunar_new_year && !covers(festival) {
        add(
            format!("{festival}, the first day of the lunar year, is in no holiday"),
            "add 春节 to `holidays`, or mend `spring_festival`",
        );
    }
    for span in &year.holidays {
        let days = (span.to - span.from).num_days() + 1;
        // 元旦 may begin in the year before.
        let is_near = [span.from, span.to]
            .iter()
            .any(|date| date.year() == year.year);
        if !(1..=10).contains(&days) || !is_near {
            add(
                format!("{} lasts from {} to {}", span.name, span.from, span.to),
                "write `from` and `to` (included) within the year, at most ten days apart",
            );
        }
    }
    for date in &year.make_up_workdays {
        if !matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
            add(
                format!(
                    "{date} is a {} and listed as a make-up working day",
                    date.weekday()
                ),
                "list Saturdays and Sundays only (调休上班)",
            );
        } else if covers(*date) {
            add(
                format!("{date} is a day off and a make-up working day"),
                "take it out of `holidays` or of `make_up_workdays`",
            );
        }
    }
    out
}

fn problem(
    file: &Path,
    line: Option<usize>,
    code: &'static str,
    message: String,
    remedy: &str,
    is_warning: bool,
) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        code,
        message,
        remedy: remedy.to_owned(),
        is_warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_years_load_and_what_is_missing_is_said() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/calendar");
        let (calendar, problems) = load(&dir, 2020..=2028);
        assert!((2020..=2027).all(|year| calendar.covers(year)));
        let codes: Vec<_> = problems.iter().map(|p| p.code).collect();
        assert_eq!(codes, ["calendar.not_official", "calendar.year_missing"]);
        assert!(problems.iter().all(|p| p.is_warning));
    }

    #[test]
    fn a_slip_of_the_pen_is_named() {
        let shipped = include_str!("../../config/calendar/2026.toml");
        let with = |from: &str, to: &str| {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("2026.toml"), shipped.replacen(from, to, 1)).unwrap();
            let (_, problems) = load(dir.path(), 2026..=2026);
            let said: Vec<String> = problems
                .iter()
                .filter(|p| p.code == "calendar.implausible" && !p.is_warning)
                .map(|p| p.message.clone())
                .collect();
            said.join("; ")
        };
        assert_eq!(with("", ""), "");
        assert!(with("2026-02-14", "2026-02-13").contains("2026-02-13 is a Fri"));
        assert!(with("\"2026-02-28\"", "\"2026-02-22\"").contains("a day off and a make-up"));
        let festival = "spring_festival = \"2026-02-17\"";
        assert!(with(festival, "spring_festival = \"2026-03-17\"").contains("no first day"));
        assert!(with(festival, "spring_festival = \"2026-02-07\"").contains("in no holiday"));
        assert!(with("to = \"2026-10-07\"", "to = \"2026-11-07\"").contains("国庆节 lasts"));
        assert!(with("year = 2026", "year = 2025").contains("another year"));
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("2026.toml"), "year = 2026\nholyday = []\n").unwrap();
        let (_, problems) = load(dir.path(), 2026..=2026);
        assert_eq!(problems[0].line, Some(2), "{problems:?}");
        assert!(!problems[0].is_warning);
    }
}
