//! What spreading a register difference costs: totals of a simulated city are taken away, the curves
//! are computed again, and the hours are compared with what really flowed.
//!
//! For each gap two spreads are tried: in proportion to time, as the daemon does, and in proportion to
//! the meter's own mean day of the four weeks before. Both conserve the volume; the example stops with
//! an error if a unit of 1e-4 m³ is lost.
#![expect(clippy::print_stdout, reason = "a command that prints a table")]

use std::collections::BTreeMap;
use std::error::Error;

use chrono::TimeDelta;
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::finding::Quality;
use qiliang::domain::frame::Transport;
use qiliang::domain::quantity::StdVolume;
use qiliang::simulate::LoadKind;
use qiliang::simulate::city::{City, CityConfig};
use qiliang::validate::curve::{CurveRules, build_days};
use qiliang::validate::points::TotalPoint;

/// Totals taken away in a row, one an hour.
const GAPS: [usize; 4] = [1, 6, 24, 72];
/// Days before the first gap, of which the mean day is made.
const HISTORY_DAYS: usize = 28;
const DAYS: usize = 60;
/// Meters of a kind at most.
const METERS: usize = 20;
/// Gaps of a length in each meter.
const PLACES: usize = 6;

#[derive(Debug, Clone, Copy, Default)]
struct Score {
    gaps: usize,
    flowed: f64,
    off_flat: f64,
    off_shaped: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let city = City::new(CityConfig {
        meters: 600,
        history_days: 60,
        live_days: 12,
        ..CityConfig::default()
    });
    let mut scores: BTreeMap<(String, usize), Score> = BTreeMap::new();
    let mut meters: BTreeMap<String, usize> = BTreeMap::new();
    for (site, place) in city.sites().iter().enumerate() {
        let Some(kind) = place.kind.map(name_of) else {
            continue;
        };
        let taken = meters.entry(kind.clone()).or_default();
        if *taken < METERS {
            *taken += 1;
            mask(&city, site, &kind, &mut scores)?;
        }
    }
    println!("| use | totals missing | gaps | by time | by the meter's own mean day |");
    println!("|---|---|---|---|---|");
    for ((kind, gap), score) in &scores {
        println!(
            "| {kind} | {gap} | {} | {:.1} % | {:.1} % |",
            score.gaps,
            score.off_flat / score.flowed * 100.0,
            score.off_shaped / score.flowed * 100.0,
        );
    }
    Ok(())
}

fn name_of(kind: LoadKind) -> String {
    format!("{kind:?}")
}

fn mask(
    city: &City,
    site: usize,
    kind: &str,
    scores: &mut BTreeMap<(String, usize), Score>,
) -> Result<(), Box<dyn Error>> {
    let clock = GasDayClock::default();
    let first = city.config().start_on();
    let until = first.plus(i64::try_from(DAYS)?);
    let place = city.sites().get(site).ok_or("no such site")?;
    let points: Vec<TotalPoint> = (0..=i64::try_from(DAYS * 24)?)
        .map(|hour| clock.start_of(first) + TimeDelta::hours(hour))
        .map(|at| TotalPoint {
            at,
            units: city.true_units(site, at),
            is_frozen: false,
            is_suspect: false,
            contradicted_by: None,
            transport: Transport::Import,
            factor: None,
        })
        .collect();
    let plain = CurveRules::plain(&place.meter);
    let truth = hours(&plain, first, until, &points);
    let shape = mean_day(&truth);
    let shaped = CurveRules {
        shape: Some(&shape),
        ..plain
    };
    for gap in GAPS {
        for index in 0..PLACES {
            // Some hour after the history, with the whole gap before the end.
            let room = (DAYS - HISTORY_DAYS) * 24 - gap - 2;
            let start = HISTORY_DAYS * 24 + 1 + (site * 37 + index * 131) % room;
            let known: Vec<TotalPoint> = points
                .iter()
                .enumerate()
                .filter(|(hour, _)| !(start..start + gap).contains(hour))
                .map(|(_, point)| *point)
                .collect();
            let range = start - 1..start + gap;
            let score = scores.entry((kind.to_owned(), gap)).or_default();
            score.gaps += 1;
            score.flowed += sum(&truth, range.clone());
            for (rules, off) in [
                (&plain, &mut score.off_flat),
                (&shaped, &mut score.off_shaped),
            ] {
                let estimated = hours(rules, first, until, &known);
                let volumes = |hours: &[(StdVolume, Quality)]| -> StdVolume {
                    hours.iter().map(|(volume, _)| *volume).sum()
                };
                let (was, is) = (volumes(&truth), volumes(&estimated));
                if was != is {
                    return Err(format!("{}: {was} m³ became {is}", place.meter.id).into());
                }
                for (was, is) in truth
                    .iter()
                    .zip(&estimated)
                    .skip(range.start)
                    .take(range.len())
                {
                    if is.1 != Quality::Estimated {
                        return Err(
                            format!("{}: a filled hour is {:?}", place.meter.id, is.1).into()
                        );
                    }
                    *off += (was.0 - is.0).to_f64().abs();
                }
            }
        }
    }
    Ok(())
}

fn hours(
    rules: &CurveRules<'_>,
    first: GasDay,
    until: GasDay,
    points: &[TotalPoint],
) -> Vec<(StdVolume, Quality)> {
    build_days(rules, GasDayClock::default(), first, until, points)
        .into_iter()
        .flat_map(|(curve, _)| curve.hours.into_iter().zip(curve.quality))
        .collect()
}

/// Mean volume of each hour of the gas day before the first gap.
fn mean_day(hours: &[(StdVolume, Quality)]) -> [f64; 24] {
    let mut shape = [0.0; 24];
    for day in hours.chunks_exact(24).take(HISTORY_DAYS) {
        for (mean, (volume, _)) in shape.iter_mut().zip(day) {
            *mean += volume.to_f64();
        }
    }
    shape
}

fn sum(hours: &[(StdVolume, Quality)], range: std::ops::Range<usize>) -> f64 {
    hours
        .iter()
        .skip(range.start)
        .take(range.len())
        .map(|(volume, _)| volume.to_f64())
        .sum()
}
