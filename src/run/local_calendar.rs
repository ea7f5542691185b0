//! Reads `local_calendar.toml` beside the registry: school holidays, heating season and winter price
//! of the places it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{Datelike as _, NaiveDate};
use serde::Deserialize;
use toml::Spanned;

use crate::domain::id::ZoneId;
use crate::domain::problem::Problem;
use crate::domain::season::Place;

/// Name of the file in the registry's folder.
pub const FILE: &str = "local_calendar.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    place: Vec<Spanned<Place>>,
}

/// Longest school holiday, days.
const SCHOOL_DAYS_MAX: i64 = 100;

/// The places of the file, none without one; `zones` are those of the registry where it could be read.
///
/// With an error none are returned. School holidays that end before `today` are warned of.
pub fn load(
    registry_dir: &Path,
    zones: Option<&BTreeSet<ZoneId>>,
    today: NaiveDate,
) -> (Vec<Place>, Vec<Problem>) {
    let file = registry_dir.join(FILE);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Default::default(),
        Err(error) => {
            let mut sink = Sink::new(file, "");
            sink.add(
                None,
                "calendar.unreadable",
                format!("cannot read the file: {error}"),
                "let the user of the program read it, in UTF-8",
            );
            return (Vec::new(), sink.problems);
        }
    };
    let mut sink = Sink::new(file, &text);
    let form: Form = match toml::from_str(&text) {
        Ok(form) => form,
        Err(error) => {
            let words: Vec<&str> = error.message().split_whitespace().collect();
            sink.add(
                error.span().map(|span| span.start),
                "calendar.invalid",
                words.join(" "),
                "mend the line; config/README.md tells the format",
            );
            return (Vec::new(), sink.problems);
        }
    };
    check_zones(&form, zones, &mut sink);
    for place in &form.place {
        check_place(place, today, &mut sink);
    }
    let problems = sink.problems;
    if problems.iter().any(|problem| !problem.is_warning) {
        return (Vec::new(), problems);
    }
    let places = form.place.into_iter().map(Spanned::into_inner).collect();
    (places, problems)
}

struct Sink<'a> {
    file: PathBuf,
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Sink<'a> {
    fn new(file: PathBuf, text: &'a str) -> Self {
        Self {
            file,
            text,
            problems: Vec::new(),
        }
    }

    /// `at` is where in the text, bytes.
    fn add(&mut self, at: Option<usize>, code: &'static str, message: String, remedy: &str) {
        let before = |at: usize| self.text.bytes().take(at).filter(|b| *b == b'\n').count();
        self.problems.push(Problem {
            file: self.file.clone(),
            line: at.map(|at| before(at) + 1),
            code,
            message,
            remedy: remedy.to_owned(),
            is_warning: code == "calendar.school_year_missing",
        });
    }
}

fn check_zones(form: &Form, zones: Option<&BTreeSet<ZoneId>>, sink: &mut Sink<'_>) {
    let mut of_zone: BTreeMap<Option<&ZoneId>, &str> = BTreeMap::new();
    for place in &form.place {
        let (at, place) = (Some(place.span().start), place.get_ref());
        if place.zones.is_empty()
            && let Some(other) = of_zone.insert(None, &place.name)
        {
            sink.add(
                at,
                "calendar.place_zones",
                format!("`{other}` and `{}` both name no zones", place.name),
                "give all but one of them `zones`; the one without serves every zone left",
            );
        }
        for zone in &place.zones {
            if let Some(other) = of_zone.insert(Some(zone), &place.name) {
                sink.add(
                    at,
                    "calendar.place_zones",
                    format!("zone `{zone}` lies in `{other}` and in `{}`", place.name),
                    "let each zone lie in one place",
                );
            }
            if zones.is_some_and(|known| !known.contains(zone)) {
                sink.add(
                    at,
                    "calendar.place_zones",
                    format!(
                        "`{}` names zone `{zone}`, which is not in zones.csv",
                        place.name
                    ),
                    "mend the id, or add the zone",
                );
            }
        }
    }
}

fn check_place(place: &Spanned<Place>, today: NaiveDate, sink: &mut Sink<'_>) {
    let (at, place) = (Some(place.span().start), place.get_ref());
    let name = &place.name;
    for (key, season) in [("heating", &place.heating), ("pricing", &place.pricing)] {
        let Some(season) = season else { continue };
        for message in season.faults() {
            sink.add(
                at,
                "calendar.implausible",
                format!("{name}, {key}: {message}"),
                "write `from` and `to` (included) of one season, within 60 days of its usual start, \
                 and each season once",
            );
        }
    }
    let mut holidays: Vec<_> = place.school_holidays.iter().collect();
    holidays.sort_by_key(|holiday| holiday.from);
    for holiday in &holidays {
        if !(1..=SCHOOL_DAYS_MAX).contains(&holiday.span().days()) {
            sink.add(
                at,
                "calendar.implausible",
                format!(
                    "{name}: {} lasts from {} to {}",
                    holiday.name, holiday.from, holiday.to
                ),
                "write `from` and `to` (included), at most 100 days apart",
            );
        }
    }
    for pair in holidays.windows(2) {
        if pair[1].from <= pair[0].to {
            sink.add(
                at,
                "calendar.implausible",
                format!(
                    "{name}: {} of {} begins within {} of {}",
                    pair[1].name, pair[1].from, pair[0].name, pair[0].from
                ),
                "let school holidays not overlap",
            );
        }
    }
    if let Some(last) = holidays.last().filter(|last| last.to < today) {
        sink.add(
            at,
            "calendar.school_year_missing",
            format!(
                "{name}: the last school holiday, {}, ended on {}: later ones count as school days",
                last.name, last.to
            ),
            &format!(
                "add the holidays of {} as the education bureau names them",
                today.year()
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
[[place]]
name = \"信阳\"
zones = [\"north\"]
heating = { from = \"11-15\", to = \"03-15\", exceptions = [{ from = \"2025-11-08\", to = \"2026-03-20\" }] }
pricing = { from = \"11-01\", to = \"03-31\" }
school_holidays = [
  { name = \"寒假\", from = \"2026-01-31\", to = \"2026-03-01\" },
  { name = \"暑假\", from = \"2026-07-06\", to = \"2026-08-31\" },
]

[[place]]
name = \"浉河港\"
";

    fn said(text: &str, today: &str) -> (usize, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let zones = BTreeSet::from(["north".into(), "south".into()]);
        let (places, problems) = load(dir.path(), Some(&zones), today.parse().unwrap());
        let root = dir.path().display().to_string();
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| problem.to_string().replace(&root, "").replace(FILE, ""))
            .collect();
        (places.len(), lines.join("\n"))
    }

    #[test]
    fn a_place_is_read_and_no_file_is_no_place() {
        assert_eq!(said(GOOD, "2026-08-01"), (2, String::new()));
        let dir = tempfile::tempdir().unwrap();
        let today = "2026-08-01".parse().unwrap();
        assert_eq!(load(dir.path(), None, today), (Vec::new(), Vec::new()));
    }

    #[test]
    fn holidays_that_are_over_are_warned_of() {
        let (places, said) = said(GOOD, "2027-01-10");
        assert_eq!(places, 2, "a warning keeps nothing from working");
        assert_eq!(
            said,
            "/:1: warning: 信阳: the last school holiday, 暑假, ended on 2026-08-31: later ones \
             count as school days; add the holidays of 2027 as the education bureau names them \
             [calendar.school_year_missing]"
        );
    }

    #[test]
    fn a_slip_of_the_pen_is_named_with_its_place_and_line() {
        let with = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            let (places, said) = said(&GOOD.replacen(from, to, 1), "2026-08-01");
            assert_eq!(places, 0, "{said}");
            said
        };
        let day = with("\"11-15\"", "\"11-31\"");
        assert!(
            day.starts_with("/:4:") && day.contains("write MM-DD"),
            "{day}"
        );
        let zone = with("\"north\"", "\"west\"");
        assert!(zone.starts_with("/:1:") && zone.contains("`west`, which is not in zones.csv"));
        assert!(
            with(
                "name = \"浉河港\"",
                "name = \"浉河港\"\nzones = [\"north\"]"
            )
            .contains("lies in")
        );
        assert!(with("zones = [\"north\"]\n", "").contains("both name no zones"));
        assert!(with("2025-11-08", "2025-08-08").contains("more than 60 days from 11-15"));
        assert!(with("2026-03-20", "2025-03-20").contains("it lasts from"));
        assert!(with("2026-07-06", "2026-02-06").contains("暑假 lasts from"));
        assert!(
            with(
                "2026-07-06\", to = \"2026-08-31",
                "2026-02-06\", to = \"2026-03-31"
            )
            .contains("within 寒假")
        );
        let key = with("pricing", "prizing");
        assert!(
            key.starts_with("/:5:") && key.contains("unknown field"),
            "{key}"
        );
    }
}
