//! `qiliang forecast` and `qiliang forecast-csv`.

use clap::Subcommand;

use super::{Context, Failure, ForecastCsv, WeatherMode};
use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandView;
use crate::domain::id::RunId;
use crate::domain::language::Language;
use crate::forecast::csv_task::{self, Mode};
use crate::run::{explain, forecasting, runs};
use crate::serve::figures::months::MonthsBy;

/// What is asked of forecasts.
#[derive(Debug, Subcommand)]
pub(super) enum ForecastCommand {
    /// Say why a newer run forecasts something else than an older one: temperature, calendar, plans,
    /// level and the rest, adding up to the change.
    Explain {
        /// Older run.
        older: String,
        /// Newer run.
        newer: String,
        /// Sentences in English.
        #[arg(long)]
        english: bool,
        /// As JSON.
        #[arg(long, conflicts_with = "english")]
        json: bool,
    },
    /// What the latest run consists of: filed plans, statistics, new connections, other factors.
    Parts {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Peak day and peak hour of the days ahead, and the 1-in-20 design day (二十年一遇).
    Outlook {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// The months ahead (逐月预测), with heating seasons and years as sums of them.
    Months {
        /// Split by `zone`, `source`, `class` or `node` (zone × class).
        #[arg(long, default_value = "total", value_parser = super::months::by_of)]
        by: MonthsBy,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Past days like one to come (相似日).
    Similar {
        /// Gas day, `YYYY-MM-DD`; tomorrow's by default.
        #[arg(long)]
        day: Option<GasDay>,
        /// Days at most.
        #[arg(long, default_value_t = 7)]
        count: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// How past forecasts did against what came, by series and lead, and whether they drift; exit
    /// code 1 if one does.
    Record {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a kept run again from what it was made from, compare every bit, and say what is known
    /// since; exit code 1 if it comes out otherwise.
    Reproduce {
        /// Run, as `qiliang forecast` and the console name it.
        run: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked.
pub(super) fn dispatch(context: &Context, what: Option<ForecastCommand>) -> Result<(), Failure> {
    match what {
        None => run(context),
        Some(ForecastCommand::Reproduce { run, json }) => reproduce(context, &run, json),
        Some(ForecastCommand::Explain {
            older,
            newer,
            english,
            json,
        }) => explain(context, (&older, &newer), english, json),
        Some(ForecastCommand::Parts { json }) => super::outlook::parts(context, json),
        Some(ForecastCommand::Outlook { json }) => super::outlook::outlook(context, json),
        Some(ForecastCommand::Months { by, json }) => super::months::months(context, by, json),
        Some(ForecastCommand::Similar { day, count, json }) => {
            super::outlook::similar(context, day, count, json)
        }
        Some(ForecastCommand::Record { json }) => super::outlook::record(context, json),
    }
}

/// Makes a run (kept where the stores are free) and prints its totals.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let (app, can_keep) = context.write_or_read()?;
    let forecast = if can_keep {
        forecasting::publish(&app)?
    } else {
        super::open::not_kept("run");
        let request = forecasting::request_at(&app, app.clock.now())?;
        runs::make(request, &app.memory)?.forecast
    };
    println!(
        "run {} from {}",
        forecast.run_id,
        forecast.origin_at.to_rfc3339()
    );
    println!(
        "{:<12} {:>12} {:>12} {:>12}  万m³",
        "gas day", "P10", "P50", "P90"
    );
    for (index, day) in forecast.days.iter().enumerate() {
        let band = forecast.band(&DemandView::total(), &[index]);
        let wan = |m3: i64| m3 as f64 / 10_000.0;
        println!(
            "{:<12} {:>12.4} {:>12.4} {:>12.4}",
            day.to_string(),
            wan(band.p10_m3),
            wan(band.p50_m3),
            wan(band.p90_m3)
        );
    }
    Ok(())
}

/// Makes a kept run again from what it was made from, and says what differs.
pub(super) fn reproduce(context: &Context, run: &str, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let again = runs::reproduce(&app, &RunId::new(run))?;
    if is_json {
        println!("{}", serde_json::to_string_pretty(&again)?);
    } else {
        print!("{again}");
    }
    if again.is_identical {
        Ok(())
    } else {
        Err(Failure::Warned)
    }
}

/// Says what moved the forecast from one kept run to another.
pub(super) fn explain(
    context: &Context,
    (older, newer): (&str, &str),
    is_english: bool,
    is_json: bool,
) -> Result<(), Failure> {
    let app = context.read()?;
    let change = explain::explain(&app, &RunId::new(older), &RunId::new(newer))?;
    if is_json {
        println!("{}", serde_json::to_string_pretty(&change)?);
        return Ok(());
    }
    let language = if is_english {
        Language::En
    } else {
        Language::Zh
    };
    for sentence in change.sentences(language) {
        println!("{sentence}");
    }
    Ok(())
}

/// Runs an evaluation task.
pub(super) fn csv(task: &ForecastCsv) -> Result<(), Failure> {
    let mode = match task.mode {
        WeatherMode::Perfect => Mode::Perfect,
        WeatherMode::Noisy => Mode::Noisy,
        WeatherMode::Clim => Mode::Clim,
        WeatherMode::None => Mode::None,
    };
    let summary = csv_task::run(&task.task, mode, &task.out, task.threads)?;
    println!(
        "{} series × {} origins, {} rows to {}",
        summary.series,
        summary.origins,
        summary.rows,
        task.out.display()
    );
    for (model, count) in &summary.models {
        println!("  {model}: {count}");
    }
    for repeated in &summary.repeated {
        eprintln!("repeated: {repeated}");
    }
    for reason in &summary.skipped {
        eprintln!("skipped: {reason}");
    }
    Ok(())
}
