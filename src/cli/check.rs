//! `qiliang check`: all problems of configuration, calendar, profiles and registry at once.

use super::{Context, Failure};
use crate::domain::id::ZoneId;
use crate::domain::season::{Place, Season};

/// Prints every problem; an error among them makes the exit code 78.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let examined = context.examine();
    let problems = examined.problems();
    if problems.iter().any(|p| !p.is_warning) {
        return Err(Failure::Problems(problems));
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if let Some(registry) = examined.registry() {
        println!(
            "ok: {} profiles, {} customers, {} meters, {} contracts, {} warning(s)",
            examined.profiles().len(),
            registry.customers.len(),
            registry.meters.len(),
            registry.contracts.len(),
            problems.len()
        );
        for place in examined.calendar().places() {
            println!("{}", local(place));
        }
        if let Ok(settings) = context.settings() {
            for line in super::retention::lengths(&settings.retention) {
                println!("{line}");
            }
        }
    }
    Ok(())
}

/// What the local calendar says of a place, in a line.
fn local(place: &Place) -> String {
    let season = |season: &Option<Season>| {
        let Some(Season {
            from,
            to,
            exceptions,
        }) = season
        else {
            return "none".to_owned();
        };
        match exceptions.len() {
            0 => format!("{from} to {to}"),
            count => format!("{from} to {to} ({count} otherwise)"),
        }
    };
    let zones: Vec<&str> = place.zones.iter().map(ZoneId::as_str).collect();
    let school = place.school_holidays.iter().map(|holiday| holiday.to).max();
    format!(
        "calendar of {} ({}): heating {}, winter price {}, school holidays {}",
        place.name,
        if zones.is_empty() {
            "every other zone".to_owned()
        } else {
            zones.join(", ")
        },
        season(&place.heating),
        season(&place.pricing),
        school.map_or_else(|| "none".to_owned(), |to| format!("through {to}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_calendar_is_told_in_a_line() {
        let place: Place = toml::from_str(
            "name = \"信阳\"\nzones = [\"north\", \"south\"]\n\
             heating = { from = \"11-15\", to = \"03-15\", exceptions = [\
               { from = \"2025-11-08\", to = \"2026-03-15\" }] }\n\
             school_holidays = [{ name = \"暑假\", from = \"2026-07-06\", to = \"2026-08-31\" }]\n",
        )
        .unwrap();
        assert_eq!(
            local(&place),
            "calendar of 信阳 (north, south): heating 11-15 to 03-15 (1 otherwise), \
             winter price none, school holidays through 2026-08-31"
        );
    }
}
