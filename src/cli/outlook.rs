//! `qiliang forecast parts`, `outlook`, `similar`, `record`.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Notify;

use super::{Context, Failure};
use crate::domain::breakdown::Part;
use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandView;
use crate::run::actions::Desk;
use crate::run::app::App;
use crate::serve::actions::{ActionError, Forecaster as _};
use crate::serve::api::outlook::PeakView;

fn wan(m3: i64) -> f64 {
    m3 as f64 / 10_000.0
}

fn said<T>(result: Result<T, ActionError>) -> Result<T, Failure> {
    result.map_err(|error| anyhow::Error::new(error).into())
}

fn desk(app: &App) -> Desk {
    Desk::new(app.clone(), Arc::new(Notify::new()))
}

fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// The four parts of the latest run by day; they add up to the forecast.
pub(super) fn parts(context: &Context, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let now = app.clock.now();
    let Some(run) = app.book.forecast_run_known_at(now)? else {
        return Err(anyhow::anyhow!(
            "no forecast has been made yet; make one with `qiliang forecast`"
        )
        .into());
    };
    let Some(parts) = app.book.breakdown(&run.run_id)? else {
        return Err(anyhow::anyhow!(
            "run {} was made by an earlier version and has no parts; make another with `qiliang forecast`",
            run.run_id
        )
        .into());
    };
    if is_json {
        return json(&parts);
    }
    let names = Part::ALL.map(Part::name_zh).join("  ");
    println!("run {}; 万m³\ngas day     {names}  合计", run.run_id);
    for (index, day) in run.days.iter().enumerate() {
        let m3 = parts.day_m3(&DemandView::total(), index);
        print!("{:<12}", day.to_string());
        for one in m3 {
            print!("{:>14.4}", wan(one));
        }
        println!("{:>14.4}", wan(m3.iter().sum()));
    }
    println!(
        "{} large consumers, {} projects, {} named factors",
        parts.consumers.len(),
        parts.connections.len(),
        parts.factors.len()
    );
    Ok(())
}

/// Peaks and the design day.
pub(super) fn outlook(context: &Context, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let view = said(desk(&app).outlook())?;
    if is_json {
        return json(&view);
    }
    println!("run {}; 万m³", view.run_id);
    println!("{:<34}{:>12}{:>12}{:>12}", "", "P50", "P90", "P99");
    let line = |name: &str, peak: &PeakView| {
        let hour = peak
            .civil_hour
            .map_or_else(String::new, |hour| format!(" {hour:02}:00"));
        println!(
            "{:<34}{:>12.4}{:>12.4}{:>12.4}",
            format!("{name}, likeliest {}{hour}", peak.gas_day),
            wan(peak.p50_m3),
            wan(peak.p90_m3),
            wan(peak.p99_m3)
        );
    };
    if let Some(peak) = &view.peak_day {
        line(&format!("peak of {} days", peak.days), peak);
    }
    if let Some(peak) = &view.peak_hour {
        line(&format!("hour of {} days", peak.days), peak);
    }
    if let Some(day) = &view.design_day {
        println!(
            "1-in-20 design day: {:.4} (1-in-2: {:.4}) at {:.1} °C, {} winters {:?}{}",
            wan(day.one_in_20_m3),
            wan(day.one_in_2_m3),
            day.one_in_20_c,
            day.winters,
            day.years,
            if day.is_extrapolated {
                "; beyond what was seen"
            } else {
                ""
            }
        );
    }
    if let Some(why) = &view.missing_en {
        println!("no design day: {why}");
    }
    Ok(())
}

/// Past days like one to come.
pub(super) fn similar(
    context: &Context,
    day: Option<GasDay>,
    count: usize,
    is_json: bool,
) -> Result<(), Failure> {
    let app = context.read()?;
    let day = day.unwrap_or_else(|| app.today().plus(1));
    let view = said(desk(&app).similar_days(day, count))?;
    if is_json {
        return json(&view);
    }
    let celsius = |t: Option<f64>| t.map_or_else(|| "-".to_owned(), |t| format!("{t:.1}"));
    println!("days like {day}, {} °C", celsius(view.effective_c));
    println!(
        "{:<12}{:>10}{:>8}{:>14}  off by temperature, day, season, festival, age",
        "gas day", "distance", "°C", "万m³"
    );
    for one in &view.days {
        println!(
            "{:<12}{:>10.2}{:>8}{:>14.4}  {:.2} {:.2} {:.2} {:.2} {:.2} {}",
            one.gas_day.to_string(),
            one.distance,
            celsius(one.effective_c),
            wan(one.used_m3),
            one.by_temperature,
            one.by_day_type,
            one.by_season,
            one.by_festival,
            one.by_age,
            one.holiday.as_deref().unwrap_or("")
        );
    }
    Ok(())
}

/// The record of past forecasts.
pub(super) fn record(context: &Context, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let rows = said(desk(&app).record())?;
    let is_drifting = rows.iter().any(|row| !row.alarms.is_empty());
    if is_json {
        json(&rows)?;
    } else {
        println!(
            "{:<34}{:>6}{:>7}{:>9}{:>9}{:>11}{:>16}",
            "", "lead", "cases", "WAPE %", "BIAS %", "P10–P90 %", "CUSUM (bound)"
        );
        for row in &rows {
            println!(
                "{:<34}{:>6}{:>7}{:>9.2}{:>9.2}{:>11.0}{:>9.1} ({:.1}) {}",
                row.of,
                row.lead,
                row.cases,
                100.0 * row.wape,
                100.0 * row.bias,
                100.0 * row.coverage,
                row.cusum,
                row.cusum_bound,
                row.alarms.join(", ")
            );
        }
    }
    if is_drifting {
        Err(Failure::Warned)
    } else {
        Ok(())
    }
}
