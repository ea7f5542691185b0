//! Residual paths: how wrong the model was, lead by lead, when it forecast from a past origin.
//!
//! A draw takes one past origin for every node at once, so errors keep the correlation they had
//! between nodes and between days.

use crate::domain::calendar::GasDay;

/// What was missed from one past origin, by lead, m³.
#[derive(Debug, Clone, PartialEq)]
pub struct ResidualPath {
    /// Last known day of that forecast.
    pub origin: GasDay,
    /// Truth minus forecast of leads 1, 2, …
    pub residuals: Vec<f64>,
}

/// Fills leads whose truth is not known (gaps, or days after the forecast's own origin) with the
/// nearest earlier path that knows the lead, else with the nearest shorter lead of the same
/// weekday; without any they are zero.
pub fn fill_unknown(paths: &mut [ResidualPath]) {
    let horizon = paths.iter().map(|p| p.residuals.len()).max().unwrap_or(0);
    let is_unknown = |path: &ResidualPath, lead: usize| !path.residuals[lead].is_finite();
    for lead in 0..horizon {
        if !paths.iter().any(|path| is_unknown(path, lead)) {
            continue;
        }
        let known: Vec<Option<f64>> = paths
            .iter()
            .map(|p| p.residuals.get(lead).copied().filter(|v| v.is_finite()))
            .collect();
        let donors: Vec<f64> = known.iter().flatten().copied().collect();
        for (i, path) in paths.iter_mut().enumerate() {
            if known[i].is_some() {
                continue;
            }
            let value = if donors.is_empty() {
                // No origin reaches so far: errors of a week earlier, somewhat larger.
                let back = if lead >= 7 {
                    lead - 7
                } else {
                    lead.saturating_sub(1)
                };
                if lead == 0 {
                    0.0
                } else {
                    1.05 * path.residuals[back]
                }
            } else {
                donors[(i * 7 + lead / 7) % donors.len()]
            };
            path.residuals[lead] = value;
        }
    }
}

/// Factor by which a residual made at expectation `then` grows at expectation `now`: errors grow
/// with demand, but a small demand keeps part of the error (`typical` is the series' usual level).
#[inline]
pub fn level_factor(now: f64, then: f64, typical: f64) -> f64 {
    let floor = 0.3 * typical.abs() + f64::MIN_POSITIVE;
    ((floor + now.max(0.0)) / (floor + then.max(0.0))).clamp(0.4, 2.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(residuals: &[f64]) -> ResidualPath {
        ResidualPath {
            origin: GasDay("2026-01-01".parse().unwrap()),
            residuals: residuals.to_vec(),
        }
    }

    #[test]
    fn unknown_leads_are_filled_and_known_ones_kept() {
        let mut paths = vec![
            path(&[1.0, 2.0, f64::NAN]),
            path(&[3.0, f64::NAN, f64::NAN]),
        ];
        fill_unknown(&mut paths);
        assert_eq!(paths[0].residuals[..2], [1.0, 2.0]);
        assert!((paths[1].residuals[1] - 2.0).abs() < 1e-12);
        assert!(
            paths
                .iter()
                .all(|p| p.residuals.iter().all(|r| r.is_finite()))
        );
    }

    #[test]
    fn errors_grow_with_demand_within_bounds() {
        assert!((level_factor(100.0, 100.0, 100.0) - 1.0).abs() < 1e-12);
        assert!(level_factor(200.0, 100.0, 100.0) > 1.5);
        assert!((level_factor(1e9, 1.0, 1.0) - 2.5).abs() < 1e-12);
    }
}
