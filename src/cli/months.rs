//! `qiliang forecast months`.

use super::{Context, Failure};
use crate::domain::breakdown::Part;
use crate::serve::figures::Band;
use crate::serve::figures::months::{MonthRows, MonthsBy, MonthsView, PeriodKind, months_view};

/// What `--by` may be.
pub(super) fn by_of(text: &str) -> Result<MonthsBy, String> {
    serde_json::from_value(text.into())
        .map_err(|_| format!("`{text}` is none of total, zone, source, class, node"))
}

/// Prints the months of the latest run that has them.
pub(super) fn months(context: &Context, by: MonthsBy, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let run = app.book.months_run_known_at(app.clock.now())?;
    let outlook = match run {
        Some(run) => app.book.run_months(&run.run_id)?,
        None => None,
    };
    let Some(outlook) = outlook else {
        return Err(anyhow::anyhow!(
            "no run has been continued by months yet; the first of a gas day is: make one with `qiliang forecast`"
        )
        .into());
    };
    let renewed = match app.book.forecast_run_known_at(app.clock.now())? {
        Some(run) => {
            let parts = app.book.breakdown(&run.run_id)?;
            parts.and_then(|parts| outlook.renewed(&run, &parts))
        }
        None => None,
    };
    let Some(view) = months_view(&app.registry(), &outlook, renewed.as_ref(), by, None) else {
        return Ok(());
    };
    if is_json {
        println!("{}", serde_json::to_string_pretty(&view)?);
        return Ok(());
    }
    println!("run {} from {}; 万m³", view.run_id, view.origin_at);
    if let Some(newest) = &view.renewed_by {
        println!(
            "months that it covers whole: run {} from {}",
            newest.run_id, newest.origin_at
        );
    }
    for rows in view.series.iter().chain([&view.total]) {
        print(&view, rows);
    }
    Ok(())
}

fn wan(m3: i64) -> f64 {
    m3 as f64 / 10_000.0
}

fn band(band: Band) -> String {
    let [p10, p50, p90] = [band.p10_m3, band.p50_m3, band.p90_m3].map(wan);
    format!("{p10:>14.4}{p50:>14.4}{p90:>14.4}")
}

fn naive(m3: Option<i64>) -> String {
    m3.map_or_else(|| "-".to_owned(), |m3| format!("{:.4}", wan(m3)))
}

fn print(view: &MonthsView, rows: &MonthRows) {
    let parts = Part::ALL.map(Part::name_zh).join("  ");
    println!(
        "\n{} ({})\n{:<10}{:>14}{:>14}{:>14}{:>14}  已计量  {parts}  方法",
        rows.label.name_zh, rows.label.key, "month", "P10", "P50", "P90", "last year"
    );
    for (of, point) in view.months.iter().zip(&rows.points) {
        print!(
            "{:<10}{}{:>14}{:>14.4}",
            of.month.to_string(),
            band(point.band),
            naive(point.naive_m3),
            wan(point.known_m3)
        );
        for m3 in point.parts_m3 {
            print!("{:>14.4}", wan(m3));
        }
        let models: Vec<String> = point
            .methods
            .iter()
            .map(|of| format!("{} {:.0} %", of.model, 100.0 * of.share))
            .collect();
        println!("  {} {}", of.basis.key(), models.join(", "));
    }
    for period in &rows.periods {
        let kind = match period.kind {
            PeriodKind::Next12 => "十二个月",
            PeriodKind::Heating => "采暖季",
            PeriodKind::ContractYear => "合同年",
            PeriodKind::CalendarYear => "自然年",
        };
        println!(
            "{}{:>14}  {kind} {} – {}{}",
            " ".repeat(10) + &band(period.band),
            naive(period.naive_m3),
            period.from,
            period.to,
            if period.is_whole { "" } else { "(部分)" }
        );
    }
}
