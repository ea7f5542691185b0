//! `qiliang balance`: gates against meters (供销差).

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{Context, Failure};
use crate::domain::calendar::GasDay;
use crate::run::balancing;
use crate::serve::api::balance::{DAYS_DEFAULT, ZoneBalanceView, rows};

/// What is asked.
#[derive(Debug, Args)]
pub(super) struct Question {
    /// First gas day; 30 days up to the last one if not given.
    #[arg(long)]
    from: Option<GasDay>,
    /// Last gas day; yesterday if not given.
    #[arg(long)]
    to: Option<GasDay>,
    /// One JSON object a zone, the total last.
    #[arg(long)]
    json: bool,
    /// Write a table instead.
    #[arg(long, value_name = "FILE.csv")]
    export: Option<PathBuf>,
}

/// Prints or writes the balance of each zone and of all.
pub(super) fn run(context: &Context, question: &Question) -> Result<(), Failure> {
    let app = context.read()?;
    let registry = app.registry();
    let today = app.gas_day_clock().day_of(app.clock.now());
    let last = question.to.unwrap_or(today.plus(-1));
    let from = question.from.unwrap_or(last.plus(1 - DAYS_DEFAULT));
    if from > last {
        return Err(Failure::Error(anyhow::anyhow!(
            "--from {from} is after --to {last}; give the first and the last gas day"
        )));
    }
    let balance = balancing::balance(&app, &registry, from, last.plus(1))?;
    let rows = rows(&registry, &balance);
    if let Some(path) = &question.export {
        let bytes = table(&rows).context("the table cannot be made")?;
        std::fs::write(path, bytes).with_context(|| {
            format!(
                "cannot write {}; choose a folder that exists and may be written",
                path.display()
            )
        })?;
        println!("{}: {} row(s)", path.display(), rows.len());
    } else if question.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("gas days {from} to {last}, m³ (20 °C, 101.325 kPa)");
        for row in &rows {
            print!("{}", lines(row));
        }
        if balance.zones.is_empty() {
            println!("no gas day on which a gate station is known from hour to hour");
        }
    }
    Ok(())
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |r| format!("{:.2} %", r * 100.0))
}

fn lines(of: &ZoneBalanceView) -> String {
    let mut text = format!(
        "{}\n  in through the gates  {:>16}  ({} complete day(s))\n  metered               {:>16}\n",
        of.name, of.gate_m3, of.days, of.metered_m3,
    );
    if of.filled_days > 0 {
        text.extend([format!(
            "  filled                {:>16}  ({} meter day(s) without a curve)\n",
            of.filled_m3, of.filled_days
        )]);
    }
    text.extend([format!(
        "  unaccounted (供销差)  {:>16}  {}\n",
        of.unaccounted_m3,
        percent(of.unaccounted_ratio)
    )]);
    let normalised = of
        .unaccounted_normalised_m3
        .as_deref()
        .unwrap_or("temperature not known");
    text.extend([format!(
        "  at ambient temp. (温度归一) {normalised:>10}  {}\n",
        percent(of.unaccounted_normalised_ratio)
    )]);
    if let (Some(pack), Some(rest)) = (&of.line_pack_m3, &of.unaccounted_less_pack_m3) {
        text.extend([
            format!(
                "  line pack (管存变化)  {pack:>16}  ({} day(s) known)\n",
                of.line_pack_days
            ),
            format!(
                "  unaccounted less that {rest:>16}  {}\n",
                percent(of.unaccounted_less_pack_ratio)
            ),
        ]);
    }
    if of.silent_meters > 0 {
        text.extend([format!(
            "  {} meter(s) without a complete day: their gas is in the difference\n",
            of.silent_meters
        )]);
    }
    text
}

fn table(rows: &[ZoneBalanceView]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "zone",
        "name",
        "days",
        "gate_m3",
        "metered_m3",
        "filled_m3",
        "filled_days",
        "silent_meters",
        "unaccounted_m3",
        "unaccounted_ratio",
        "unaccounted_normalised_m3",
        "unaccounted_normalised_ratio",
        "line_pack_m3",
        "line_pack_days",
        "unaccounted_less_pack_m3",
        "unaccounted_less_pack_ratio",
    ])?;
    let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |r| format!("{r:.6}"));
    for of in rows {
        writer.write_record([
            of.zone.clone().unwrap_or_default(),
            of.name.clone(),
            of.days.to_string(),
            of.gate_m3.clone(),
            of.metered_m3.clone(),
            of.filled_m3.clone(),
            of.filled_days.to_string(),
            of.silent_meters.to_string(),
            of.unaccounted_m3.clone(),
            ratio(of.unaccounted_ratio),
            of.unaccounted_normalised_m3.clone().unwrap_or_default(),
            ratio(of.unaccounted_normalised_ratio),
            of.line_pack_m3.clone().unwrap_or_default(),
            of.line_pack_days.to_string(),
            of.unaccounted_less_pack_m3.clone().unwrap_or_default(),
            ratio(of.unaccounted_less_pack_ratio),
        ])?;
    }
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quantity::StdVolume;
    use crate::ledger::balance::ZoneBalance;

    fn row() -> ZoneBalanceView {
        let of = ZoneBalance {
            days: 3,
            gate: StdVolume::from_m3(1_000),
            metered: StdVolume::from_m3(940),
            filled: StdVolume::from_m3(20),
            filled_days: 2,
            silent_meters: 1,
            normalised: Some(StdVolume::from_m3(990)),
            line_pack: Some(StdVolume::from_m3(-5)),
            line_pack_days: 2,
        };
        ZoneBalanceView {
            name: "北区".into(),
            ..ZoneBalanceView::new(Some("north"), "", &of)
        }
    }

    #[test]
    fn a_zone_is_told_with_what_its_difference_hides() {
        assert_eq!(
            lines(&row()),
            "北区\n  in through the gates         1000.0000  (3 complete day(s))\n  metered                       940.0000\n  \
             filled                         20.0000  (2 meter day(s) without a curve)\n  \
             unaccounted (供销差)           40.0000  4.00 %\n  \
             at ambient temp. (温度归一)    10.0000  1.00 %\n  \
             line pack (管存变化)           -5.0000  (2 day(s) known)\n  \
             unaccounted less that          45.0000  4.50 %\n  \
             1 meter(s) without a complete day: their gas is in the difference\n"
        );
    }

    #[test]
    fn the_table_has_a_column_for_each_figure() {
        let text = String::from_utf8(table(&[row()]).unwrap()).unwrap();
        assert_eq!(
            text.lines().nth(1),
            Some(
                "north,北区,3,1000.0000,940.0000,20.0000,2,1,40.0000,0.040000,10.0000,0.010000,-5.0000,2,45.0000,0.045000"
            )
        );
    }
}
