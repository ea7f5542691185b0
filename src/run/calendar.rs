//! Reads the folder of holiday calendars.

use std::fs;
use std::path::Path;

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
        let (calendar, problems) = load(&dir, 2024..=2028);
        assert!((2024..=2027).all(|year| calendar.covers(year)));
        let codes: Vec<_> = problems.iter().map(|p| p.code).collect();
        assert_eq!(codes, ["calendar.not_official", "calendar.year_missing"]);
        assert!(problems.iter().all(|p| p.is_warning));
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
