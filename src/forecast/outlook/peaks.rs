//! Peak day and peak hour of the days ahead, from joint draws: the largest day of each imagined
//! future, not the largest of the days' quantiles.

use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandForecast, DemandView, quantile_of_sorted};

/// Quantiles of a peak, and when it is most likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// As likely above as below, m³.
    pub p50_m3: i64,
    /// Exceeded in one future in ten, m³.
    pub p90_m3: i64,
    /// Exceeded in one future in a hundred, m³.
    pub p99_m3: i64,
    /// Gas day on which the peak falls most often.
    pub day: GasDay,
    /// Hour of the gas day, from 0; none for a day.
    pub hour: Option<usize>,
    /// Part of the draws whose peak falls there.
    pub probability: f64,
    /// Gas days looked at.
    pub days: usize,
}

/// The peak day of the run's days from `from` on, of a view; none without draws or days.
///
/// # Source
/// METHODS.md, "Peak day and peak hour".
pub fn peak_day(run: &DemandForecast, view: &DemandView, from: GasDay) -> Option<Peak> {
    let days: Vec<usize> = (0..run.days.len())
        .filter(|i| run.days[*i] >= from)
        .collect();
    let columns = days.iter().map(|i| ((*i, None), run.draws(view, &[*i])));
    peak(run, &columns.collect::<Vec<_>>(), days.len())
}

/// The peak hour of the days that have hourly draws, from `from` on.
pub fn peak_hour(run: &DemandForecast, view: &DemandView, from: GasDay) -> Option<Peak> {
    let days: Vec<usize> = (0..run.days.len().min(run.hourly_days))
        .filter(|i| run.days[*i] >= from)
        .collect();
    let columns = days
        .iter()
        .flat_map(|day| (0..24).map(move |hour| (*day, hour)))
        .map(|(day, hour)| ((day, Some(hour)), run.hour_draws(view, day, hour)));
    peak(run, &columns.collect::<Vec<_>>(), days.len())
}

type Column = ((usize, Option<usize>), Vec<f64>);

#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
fn peak(run: &DemandForecast, columns: &[Column], days: usize) -> Option<Peak> {
    let count = columns.iter().map(|(_, draws)| draws.len()).min()?;
    let mut largest = Vec::with_capacity(count);
    let mut times = vec![0_usize; columns.len()];
    for draw in 0..count {
        let (at, m3) = columns
            .iter()
            .enumerate()
            .map(|(at, (_, draws))| (at, draws[draw]))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        largest.push(m3);
        times[at] += 1;
    }
    let at = (0..times.len()).rev().max_by_key(|at| times[*at])?;
    let (day, hour) = columns.get(at)?.0;
    largest.sort_by(f64::total_cmp);
    let quantile = |q| quantile_of_sorted(&largest, q).round() as i64;
    (count > 0).then(|| Peak {
        p50_m3: quantile(0.5),
        p90_m3: quantile(0.9),
        p99_m3: quantile(0.99),
        day: run.days[day],
        hour,
        probability: times[at] as f64 / count as f64,
        days,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::GasDayClock;
    use crate::domain::customer::CustomerClass;
    use crate::domain::demand::{DemandCube, DemandNode, Draws, NodeForecast};

    /// Two days of ten draws; day 0 rises with the draw, day 1 falls.
    fn run() -> DemandForecast {
        let daily: Vec<f32> = (0_u8..10)
            .flat_map(|d| [100.0 + f32::from(d), 103.5 - f32::from(d)])
            .collect();
        let hourly = daily
            .chunks(2)
            .flat_map(|days| {
                (0..24).map(move |h| {
                    if h == 10 {
                        days[0] / 2.0
                    } else {
                        days[0] / 46.0
                    }
                })
            })
            .collect();
        DemandForecast {
            run_id: "r".into(),
            origin_at: chrono::DateTime::UNIX_EPOCH,
            days: vec!["2026-12-01".parse().unwrap(), "2026-12-02".parse().unwrap()],
            hourly_days: 1,
            clock: GasDayClock::default(),
            nodes: vec![NodeForecast {
                node: DemandNode {
                    zone: "north".into(),
                    class: CustomerClass::Industrial,
                },
                model: "test".into(),
                p50_m3: vec![[4.0; 24]; 2],
                draws: Draws {
                    count: 10,
                    daily,
                    hourly,
                },
            }],
            inputs: Vec::new(),
            cube: DemandCube::default(),
            shares: Vec::new(),
        }
    }

    #[test]
    fn a_peak_is_the_largest_of_each_future() {
        let run = run();
        let peak = peak_day(&run, &DemandView::total(), run.days[0]).unwrap();
        // Largest of each draw: 103.5, 102.5, 102, 103, 104 … 109.
        assert_eq!((peak.day, peak.probability), (run.days[0], 0.8));
        assert_eq!(peak.p50_m3, 105); // between 104 and 105, rounded
        assert_eq!(peak.p90_m3, 108);
        assert_eq!(peak.p99_m3, 109);
        let tomorrow = peak_day(&run, &DemandView::total(), run.days[1]).unwrap();
        assert_eq!((tomorrow.days, tomorrow.probability), (1, 1.0));
        let hour = peak_hour(&run, &DemandView::total(), run.days[0]).unwrap();
        assert_eq!((hour.hour, hour.p99_m3), (Some(10), 54));
        assert_eq!(peak_hour(&run, &DemandView::total(), run.days[1]), None);
    }
}
