//! Weighted ridge regression, plain and robust: the one file that names linfa.
//!
//! `linfa-linear` solves ordinary least squares by Householder QR. Weights and the ridge make it a
//! plain least-squares problem of more rows (√w on each, one row √λ per column). Thousands of rows
//! through its reflections would be nearly all the time of a forecast, so they are first condensed
//! to as many rows as columns, with the same solution.

pub mod gram;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

/// A design matrix, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Design {
    columns: usize,
    values: Vec<f64>,
}

impl Design {
    /// An empty matrix of so many columns.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            values: Vec::new(),
        }
    }

    /// Makes room for so many more rows.
    pub fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows * self.columns);
    }

    /// Appends a row; it must have as many values as there are columns.
    pub fn push(&mut self, row: &[f64]) {
        assert_eq!(
            row.len(),
            self.columns,
            "a row is as long as the matrix is wide"
        );
        self.values.extend_from_slice(row);
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// One row.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.columns..(index + 1) * self.columns]
    }
}

/// Sum of products, up to the end of the shorter one.
///
/// Four sums side by side, which a processor adds without waiting for each other, in an order that
/// is always the same.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let length = a.len().min(b.len());
    let (a, rest_of_a) = a[..length].as_chunks::<4>();
    let (b, rest_of_b) = b[..length].as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = rest_of_a.iter().zip(rest_of_b).map(|(x, y)| x * y).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// How strongly columns are held to zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalty {
    /// In units of each column's own weighted variance: shrinks by about `relative / (1 + relative)`.
    pub relative: f64,
    /// As if so many whole days had been seen on which the column had no effect; matters for
    /// columns that are rarely non-zero (holidays).
    pub pseudo_days: f64,
}

/// Minimises Σ w (y − x·b)² + Σ λ b², λ from the penalty; the first column is the intercept and free.
///
/// None if no row has weight or the solver finds no finite answer.
///
/// # Source
/// METHODS.md, "Ridge regression"; worked example: `ridge_shrinks_by_the_textbook_factor`.
pub fn ridge(x: &Design, y: &[f64], weights: &[f64], penalty: Penalty) -> Option<Vec<f64>> {
    let columns = x.columns();
    let used: Vec<usize> = (0..x.rows())
        .filter(|i| weights[*i] > 0.0 && y[*i].is_finite())
        .collect();
    let total: f64 = used.iter().map(|i| weights[*i]).sum();
    if total <= 0.0 || !total.is_finite() {
        return None;
    }
    let (mut products, mut right) = cross_products(x, y, weights, &used);
    for (column, lambda) in lambdas(x, &used, weights, total, penalty)
        .into_iter()
        .enumerate()
    {
        products[column * columns + column] += lambda;
    }
    condense(&mut products, &mut right, columns)?;
    let records = Array2::from_shape_vec((columns, columns), products).ok()?;
    let dataset = DatasetBase::new(records, Array1::from_vec(right));
    let fitted = LinearRegression::new()
        .with_intercept(false)
        .fit(&dataset)
        .ok()?;
    let coefficients = fitted.params().to_vec();
    coefficients
        .iter()
        .all(|v| v.is_finite())
        .then_some(coefficients)
}

/// Upper triangle of the weighted cross products, row by row, and the right side.
fn cross_products(x: &Design, y: &[f64], weights: &[f64], used: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let columns = x.columns();
    let mut products = vec![0.0; columns * columns];
    let mut right = vec![0.0; columns];
    for &i in used {
        let row = x.row(i);
        for (j, value) in row.iter().enumerate() {
            let weighted = weights[i] * value;
            if weighted == 0.0 {
                continue; // most calendar columns are zero on most days
            }
            right[j] += weighted * y[i];
            let target = &mut products[j * columns + j..(j + 1) * columns];
            for (sum, other) in target.iter_mut().zip(&row[j..]) {
                *sum += weighted * other;
            }
        }
    }
    (products, right)
}

/// Replaces the cross products by as many rows as there are columns with the same least-squares
/// solution (`A = RᵀR` by Cholesky, right side `R⁻ᵀ XᵀWy`).
///
/// None if the products are not positive definite, which the penalty prevents.
fn condense(products: &mut [f64], right: &mut [f64], columns: usize) -> Option<()> {
    for j in 0..columns {
        let (done, rest) = products.split_at_mut(j * columns);
        let row = &mut rest[..columns];
        row[..j].fill(0.0);
        for k in 0..j {
            let above = &done[k * columns..(k + 1) * columns];
            let factor = above[j];
            if factor == 0.0 {
                continue;
            }
            for (value, other) in row[j..].iter_mut().zip(&above[j..]) {
                *value -= factor * other;
            }
            right[j] -= factor * right[k];
        }
        if !(row[j] > 0.0 && row[j].is_finite()) {
            return None;
        }
        let root = row[j].sqrt();
        row[j..].iter_mut().for_each(|value| *value /= root);
        right[j] /= root;
    }
    Some(())
}

/// λ of each column, from its weighted variance and largest value.
fn lambdas(x: &Design, used: &[usize], weights: &[f64], total: f64, penalty: Penalty) -> Vec<f64> {
    let columns = x.columns();
    let (mut sums, mut squares) = (vec![0.0; columns], vec![0.0; columns]);
    let mut largest = vec![0.0_f64; columns];
    for &i in used {
        for (j, value) in x.row(i).iter().enumerate() {
            sums[j] += weights[i] * value;
            squares[j] += weights[i] * value * value;
            largest[j] = largest[j].max(value.abs());
        }
    }
    (0..columns)
        .map(|j| {
            // Even a column that never moves must not make the matrix singular.
            let least = 1e-9 * total * (1.0 + squares[j] / total);
            if j == 0 {
                return least;
            }
            let variance = (squares[j] / total - (sums[j] / total).powi(2)).max(0.0);
            penalty.relative * total * variance
                + penalty.pseudo_days * largest[j] * largest[j]
                + least
        })
        .collect()
}

/// How a robust ridge is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Robust {
    /// Ridge.
    pub penalty: Penalty,
    /// Residuals beyond so many robust standard deviations count less.
    pub clip: f64,
    /// Reweightings.
    pub rounds: usize,
}

/// Ridge with Huber weights: rows further off than `clip` robust standard deviations count less.
///
/// Rows in `protected` (empty: none) always count in full: rare events that have a column of their
/// own would else be taken for errors before their column has learnt them.
/// `start` are coefficients to take the first residuals from; without them the first round is
/// plain.
///
/// # Source
/// METHODS.md, "Robust regression"; worked example: `one_wild_row_hardly_moves_a_robust_line`.
pub fn robust_ridge(
    x: &Design,
    y: &[f64],
    weights: &[f64],
    robust: Robust,
    start: Option<&[f64]>,
    protected: &[bool],
) -> Option<Vec<f64>> {
    let is_protected = |i: usize| protected.get(i).copied().unwrap_or(false);
    let mut b = match start {
        Some(b) if b.len() == x.columns() => b.to_vec(),
        _ => ridge(x, y, weights, robust.penalty)?,
    };
    let mut reweighted = weights.to_vec();
    for _ in 0..robust.rounds {
        let residuals: Vec<f64> = (0..x.rows()).map(|i| y[i] - dot(x.row(i), &b)).collect();
        let Some(limit) = robust_scale(&residuals, weights).map(|s| robust.clip * s) else {
            return Some(b); // every residual is zero: nothing to gain
        };
        for (i, residual) in residuals.iter().enumerate() {
            let size = residual.abs();
            reweighted[i] = if size > limit && !is_protected(i) {
                weights[i] * limit / size
            } else {
                weights[i]
            };
        }
        b = ridge(x, y, &reweighted, robust.penalty)?;
    }
    Some(b)
}

/// 1.4826 × weighted median of |r|; none if it is zero.
fn robust_scale(residuals: &[f64], weights: &[f64]) -> Option<f64> {
    let mut sizes: Vec<(f64, f64)> = residuals
        .iter()
        .zip(weights)
        .filter(|(r, w)| r.is_finite() && **w > 0.0)
        .map(|(r, w)| (r.abs(), *w))
        .collect();
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half: f64 = sizes.iter().map(|(_, w)| w).sum::<f64>() / 2.0;
    let mut seen = 0.0;
    for (size, weight) in sizes {
        seen += weight;
        if seen >= half {
            return (size > 0.0).then_some(1.4826 * size);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Penalty = Penalty {
        relative: 0.0,
        pseudo_days: 0.0,
    };

    const ROBUST: Robust = Robust {
        penalty: FREE,
        clip: 1.345,
        rounds: 12,
    };

    fn line(points: &[(f64, f64)]) -> (Design, Vec<f64>) {
        let mut x = Design::new(2);
        for (at, _) in points {
            x.push(&[1.0, *at]);
        }
        (x, points.iter().map(|(_, y)| *y).collect())
    }

    #[test]
    fn a_line_through_exact_points_is_found() {
        let (x, y) = line(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]);
        let b = ridge(&x, &y, &[1.0; 4], FREE).unwrap();
        assert!(
            (b[0] - 1.0).abs() < 1e-6 && (b[1] - 2.0).abs() < 1e-6,
            "{b:?}"
        );
    }

    #[test]
    fn ridge_shrinks_by_the_textbook_factor() {
        // x has mean 0 and variance 1: b = 3 / (1 + 0.5) = 2.
        let (x, y) = line(&[(-1.0, -3.0), (1.0, 3.0)]);
        let penalty = Penalty {
            relative: 0.5,
            pseudo_days: 0.0,
        };
        let b = ridge(&x, &y, &[1.0; 2], penalty).unwrap();
        assert!((b[1] - 2.0).abs() < 1e-6, "{b:?}");
    }

    #[test]
    fn a_row_of_weight_two_counts_like_two_rows() {
        let (x, y) = line(&[(0.0, 0.0), (1.0, 2.0), (2.0, 3.0)]);
        let weighted = ridge(&x, &y, &[1.0, 2.0, 1.0], FREE).unwrap();
        let (x, y) = line(&[(0.0, 0.0), (1.0, 2.0), (1.0, 2.0), (2.0, 3.0)]);
        let doubled = ridge(&x, &y, &[1.0; 4], FREE).unwrap();
        assert!((weighted[1] - doubled[1]).abs() < 1e-9);
    }

    #[test]
    fn one_wild_row_hardly_moves_a_robust_line() {
        let noise = [0.1, -0.1, 0.05, -0.05, 0.1, -0.1, 0.0, 0.05, -0.1, 0.1];
        let mut points: Vec<(f64, f64)> = (0_u8..10)
            .map(|i| (f64::from(i), 2.0 * f64::from(i) + noise[usize::from(i)]))
            .collect();
        points[9].1 += 60.0;
        let (x, y) = line(&points);
        let plain = ridge(&x, &y, &[1.0; 10], FREE).unwrap();
        let robust = robust_ridge(&x, &y, &[1.0; 10], ROBUST, None, &[]).unwrap();
        assert!((plain[1] - 2.0).abs() > 2.0, "{plain:?}");
        assert!((robust[1] - 2.0).abs() < 0.1, "{robust:?}");
        let mut protected = [false; 10];
        protected[9] = true;
        let kept = robust_ridge(&x, &y, &[1.0; 10], ROBUST, None, &protected).unwrap();
        assert!(
            (kept[1] - plain[1]).abs() < 0.5,
            "a protected row is believed: {kept:?}"
        );
    }

    #[test]
    fn a_dead_column_and_gaps_do_no_harm() {
        let mut x = Design::new(3);
        for i in 0..6_u8 {
            x.push(&[1.0, f64::from(i), 0.0]);
        }
        let y = [1.0, 3.0, f64::NAN, 7.0, 9.0, 11.0];
        let b = ridge(&x, &y, &[1.0; 6], FREE).unwrap();
        assert!((b[1] - 2.0).abs() < 1e-6 && b[2].abs() < 1e-9, "{b:?}");
        assert_eq!(ridge(&x, &y, &[0.0; 6], FREE), None);
    }
}
