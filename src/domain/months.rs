//! The monthly outlook of a forecast run: 12 to 18 months of demand by zone × source × class.
//!
//! As with days, coherence is by construction: the published P50 are whole-m³ cells and every table is a
//! sum of them; bands come from joint draws, in which draw `i` of every cell and of every month belongs to
//! the same imagined future.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::breakdown::{Breakdown, Part};
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{Band, DemandForecast, DemandView, band_around};
use crate::domain::id::{RunId, SourceId, ZoneId};

/// Months of an outlook: at least a year, at most a year and a half, the month under way included.
pub const OUTLOOK_MONTHS: std::ops::RangeInclusive<usize> = 12..=18;

/// What a month's figures stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MonthBasis {
    /// Every day of it is known or a day of the run.
    Run,
    /// The run ends within it: its first days are the run's, the rest is the model's of months.
    Joint,
    /// The model of months.
    Months,
}

impl MonthBasis {
    /// The key used in JSON and CSV.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Joint => "joint",
            Self::Months => "months",
        }
    }
}

/// A month of an outlook; `known_days + run_days + later_days` are its days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlookMonth {
    /// The month.
    pub month: GasMonth,
    /// What it stands on.
    pub basis: MonthBasis,
    /// Days before the run's first, which are measured.
    pub known_days: u32,
    /// Of these, days on which the demand of some node was not known and is the mean of its days around.
    pub filled_days: u32,
    /// Days of the run.
    pub run_days: u32,
    /// Days after it.
    pub later_days: u32,
}

/// One month of one zone × source × class, m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MonthCell {
    /// Published P50: `known_m3` and the four parts.
    pub m3: i64,
    /// Of days already measured.
    pub known_m3: i64,
    /// Of days to come, in the order of [`Part::ALL`]; `other` may be negative.
    pub parts_m3: [i64; 4],
    /// The same month of the latest year known; none where no year is.
    pub naive_m3: Option<i64>,
}

/// The months of one zone × source × class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonthSeries {
    /// Zone.
    pub zone: ZoneId,
    /// Source.
    pub source: SourceId,
    /// Class.
    pub class: CustomerClass,
    /// Model of the months after the run's days; METHODS.md, "Months".
    pub model: String,
    /// By month of the outlook.
    pub cells: Vec<MonthCell>,
    /// Joint draws, m³: `[draw][month]`, row by row.
    pub draws: Vec<f32>,
}

/// Months ahead, as published with a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonthlyOutlook {
    /// The run it continues.
    pub run_id: RunId,
    /// Nothing known after this instant was used.
    pub origin_at: DateTime<Utc>,
    /// Consecutive; the first is the month of the run's first day.
    pub months: Vec<OutlookMonth>,
    /// Number of joint draws.
    pub draws: usize,
    /// In order of zone, source, class.
    pub series: Vec<MonthSeries>,
}

impl MonthlyOutlook {
    /// The series of a view; time slots are not told apart.
    fn of<'a, 'b>(
        &'a self,
        view: &'b DemandView,
    ) -> impl Iterator<Item = &'a MonthSeries> + use<'a, 'b> {
        self.series.iter().filter(move |series| {
            view.zone.as_ref().is_none_or(|zone| *zone == series.zone)
                && view.source.as_ref().is_none_or(|of| *of == series.source)
                && view.class.is_none_or(|class| class == series.class)
        })
    }

    fn cells<'a>(
        &'a self,
        view: &'a DemandView,
        months: &'a [usize],
    ) -> impl Iterator<Item = &'a MonthCell> {
        let of_months =
            |series: &'a MonthSeries| months.iter().filter_map(|month| series.cells.get(*month));
        self.of(view).flat_map(of_months)
    }

    /// The gas day that the run it continues begins with.
    pub fn first_day(&self) -> Option<GasDay> {
        let first = self.months.first()?;
        Some(first.month.first_day().plus(i64::from(first.known_days)))
    }

    /// The outlook with the months that are the run's alone from a later run of the same gas day: its cells and
    /// draws beside what was measured before. Later months stay as they are. None where the run does not fit:
    /// of another day, with other nodes or draws, or shorter.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "draws are kept in single precision"
    )]
    pub fn renewed(&self, run: &DemandForecast, parts: &Breakdown) -> Option<Self> {
        let is_later = run.run_id != self.run_id && run.origin_at >= self.origin_at;
        if !is_later || self.first_day().as_ref() != run.days.first() {
            return None;
        }
        let mut new = self.clone();
        for (index, of) in self.months.iter().enumerate() {
            if of.basis != MonthBasis::Run {
                continue;
            }
            let days = run.days.iter().enumerate();
            let days = days.filter(|(_, day)| day.month() == of.month);
            let days: Vec<usize> = days.map(|(position, _)| position).collect();
            if days.len() != of.run_days as usize {
                return None;
            }
            let mut whole_m3 = 0;
            for series in &mut new.series {
                let view = DemandView {
                    zone: Some(series.zone.clone()),
                    source: Some(series.source.clone()),
                    class: Some(series.class),
                    ..DemandView::default()
                };
                let cell = series.cells.get_mut(index)?;
                let m3 = run.band(&view, &days).p50_m3;
                cell.m3 = cell.known_m3 + m3;
                cell.parts_m3 = [0; Part::ALL.len()];
                for day in &days {
                    let of_day = parts.day_m3(&view, *day);
                    for (sum, m3) in cell.parts_m3.iter_mut().zip(of_day) {
                        *sum += m3;
                    }
                }
                whole_m3 += m3;
                let draws = run.draws(&view, &days);
                if draws.len() != self.draws || cell.parts_m3.iter().sum::<i64>() != m3 {
                    return None;
                }
                let rows = series.draws.chunks_exact_mut(self.months.len());
                for (row, draw) in rows.zip(draws) {
                    *row.get_mut(index)? = (cell.known_m3 as f64 + draw) as f32;
                }
            }
            if whole_m3 != run.band(&DemandView::total(), &days).p50_m3 {
                return None;
            }
        }
        new.run_id = run.run_id.clone();
        new.origin_at = run.origin_at;
        Some(new)
    }

    /// Position of a month, if the outlook has it.
    pub fn index_of(&self, month: GasMonth) -> Option<usize> {
        self.months.iter().position(|one| one.month == month)
    }

    /// Each joint draw of a view summed over some months (their positions), m³, in draw order.
    pub fn joint(&self, view: &DemandView, months: &[usize]) -> Vec<f64> {
        let mut sums = vec![0.0; self.draws];
        for series in self.of(view) {
            for (sum, row) in sums
                .iter_mut()
                .zip(series.draws.chunks_exact(self.months.len()))
            {
                let of_row = months.iter().filter_map(|month| row.get(*month));
                *sum += of_row.map(|m3| f64::from(*m3)).sum::<f64>();
            }
        }
        sums
    }

    /// Band of a view summed over some months; its P50 is a sum of cells.
    pub fn band(&self, view: &DemandView, months: &[usize]) -> Band {
        let p50_m3 = self.cells(view, months).map(|cell| cell.m3).sum();
        band_around(p50_m3, self.joint(view, months))
    }

    /// Measured volume and the four parts of a view over some months, m³; they sum to its P50.
    pub fn parts(&self, view: &DemandView, months: &[usize]) -> (i64, [i64; 4]) {
        let mut parts = [0; Part::ALL.len()];
        let mut known = 0;
        for cell in self.cells(view, months) {
            known += cell.known_m3;
            for (sum, m3) in parts.iter_mut().zip(cell.parts_m3) {
                *sum += m3;
            }
        }
        (known, parts)
    }

    /// The seasonal-naive volume of a view over some months, m³; none unless all of it has one.
    pub fn naive_m3(&self, view: &DemandView, months: &[usize]) -> Option<i64> {
        let mut cells = self.cells(view, months).peekable();
        cells.peek()?;
        cells.map(|cell| cell.naive_m3).sum()
    }

    /// Models of the months after the run's days in a view, and how much of their P50 over some months each
    /// says, m³; largest first.
    pub fn models(&self, view: &DemandView, months: &[usize]) -> Vec<(&str, i64)> {
        let mut out: Vec<(&str, i64)> = Vec::new();
        for series in self.of(view) {
            let of_months = months.iter().filter_map(|month| series.cells.get(*month));
            let m3: i64 = of_months.map(|cell| cell.m3).sum();
            match out.iter_mut().find(|(model, _)| *model == series.model) {
                Some((_, sum)) => *sum += m3,
                None => out.push((&series.model, m3)),
            }
        }
        out.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        out
    }
}
