//! Sums of weighted cross products that are added to, mixed and solved without their rows.
//!
//! A rolling forecast needs dozens of ridge regressions on almost the same rows. Kept as sums, a
//! new month is 28 rows more and another season is another mix of the same sums; what is left of
//! each regression is one small Cholesky factor (measured in the ADR on regressions from sums).

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the wide vectors"
)]

use std::sync::LazyLock;

use pulp::{Arch, Simd, WithSimd};

use super::Penalty;

/// The widest vectors this processor has. Products and sums are never joined (no multiply-add) or
/// taken in another order, so that every width gives the same bits.
static WIDEST: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Upper triangle of `[X y]ᵀ W [X y]`, line by line; the first column is the intercept.
///
/// A line begins at a multiple of `LANES` and ends at one, so that it is whole vectors; what is
/// left of the diagonal in it is not used.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    columns: usize,
    /// Length of a row and of the first line.
    stride: usize,
    sums: Vec<f64>,
}

/// Numbers worked on at once.
const LANES: usize = 4;
/// Rows that are added together, which loads and stores each sum once for all of them.
const TOGETHER: usize = 4;

/// Does not compile where vectors are wider than what lines are multiples of.
const fn lines_are_whole<S: Simd>() {
    assert!(
        LANES.is_multiple_of(S::F64_LANES),
        "lines are whole vectors"
    );
}

/// Adds Σ factor · line.
#[inline(always)]
fn combine<S: Simd>(
    simd: S,
    sums: &mut [f64],
    factors: [f64; TOGETHER],
    lines: [&[f64]; TOGETHER],
) {
    let [a, b, c, d] = factors;
    let (a, b) = (simd.splat_f64s(a), simd.splat_f64s(b));
    let (c, d) = (simd.splat_f64s(c), simd.splat_f64s(d));
    let [first, second, third, fourth] = lines;
    let first_two = S::as_simd_f64s(first)
        .0
        .iter()
        .zip(S::as_simd_f64s(second).0);
    let last_two = S::as_simd_f64s(third)
        .0
        .iter()
        .zip(S::as_simd_f64s(fourth).0);
    let sums = S::as_mut_simd_f64s(sums).0.iter_mut();
    for ((sum, (w, x)), (y, z)) in sums.zip(first_two).zip(last_two) {
        let two = simd.add_f64s(simd.mul_f64s(a, *w), simd.mul_f64s(b, *x));
        let others = simd.add_f64s(simd.mul_f64s(c, *y), simd.mul_f64s(d, *z));
        *sum = simd.add_f64s(*sum, simd.add_f64s(two, others));
    }
}

/// Adds factor · line.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, sums: &mut [f64], factor: f64, line: &[f64]) {
    let factor = simd.splat_f64s(factor);
    let sums = S::as_mut_simd_f64s(sums).0.iter_mut();
    for (sum, value) in sums.zip(S::as_simd_f64s(line).0) {
        *sum = simd.add_f64s(*sum, simd.mul_f64s(factor, *value));
    }
}

/// Rows to be added.
struct Adding<'a> {
    gram: &'a mut Gram,
    rows: &'a [f64],
    weights: &'a [f64],
}

impl WithSimd for Adding<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const { lines_are_whole::<S>() };
        self.gram.add_all(simd, self.rows, self.weights);
    }
}

/// Sums to be mixed.
struct Mixing<'a> {
    gram: &'a mut Gram,
    parts: &'a [Gram],
    factors: &'a [f64],
}

impl WithSimd for Mixing<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const { lines_are_whole::<S>() };
        self.gram.mix_all(simd, self.parts, self.factors);
    }
}

/// Sums to become their factor.
struct Factoring<'a>(&'a mut Gram);

impl WithSimd for Factoring<'_> {
    type Output = Option<()>;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<()> {
        const { lines_are_whole::<S>() };
        self.0.factor(simd)
    }
}

/// Rows whose errors are asked for; `minus` are the coefficients with their signs turned, 1 at y, and
/// zeros up to whole vectors.
struct Missing<'a> {
    rows: &'a [f64],
    minus: &'a [f64],
}

impl WithSimd for Missing<'_> {
    type Output = Vec<f64>;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
        let wide = self.minus.len();
        let mut errors = Vec::with_capacity(self.rows.len() / wide);
        for row in self.rows.chunks_exact(wide) {
            let mut sums = [0.0; LANES];
            let of_row = row.as_chunks::<LANES>().0;
            for (values, factors) in of_row.iter().zip(self.minus.as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    sums[lane] += values[lane] * factors[lane];
                }
            }
            errors.push((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
        errors
    }
}

/// What coefficients miss of each row (see [`Gram::row_length`]): y − x·b.
pub fn errors(rows: &[f64], b: &[f64]) -> Vec<f64> {
    let mut minus: Vec<f64> = b.iter().map(|b| -b).collect();
    minus.push(1.0);
    minus.resize(Gram::row_length(b.len()), 0.0);
    WIDEST.dispatch(Missing {
        rows,
        minus: &minus,
    })
}

/// Column at which line `j` begins.
const fn begin(j: usize) -> usize {
    j - j % LANES
}

impl Gram {
    /// Nothing yet of so many columns.
    pub fn new(columns: usize) -> Self {
        let mut of_none = Self {
            columns,
            stride: Self::row_length(columns),
            sums: Vec::new(),
        };
        of_none.sums = vec![0.0; of_none.start(columns)];
        of_none
    }

    /// Length of a row: columns, y, and zeros up to whole vectors.
    pub const fn row_length(columns: usize) -> usize {
        (columns + 1).next_multiple_of(LANES)
    }

    /// Place of line `j` in the sums.
    const fn start(&self, j: usize) -> usize {
        let blocks = j / LANES;
        let before =
            LANES * (blocks * self.stride - LANES * (blocks * blocks.saturating_sub(1) / 2));
        before + (j % LANES) * (self.stride - begin(j))
    }

    fn line_mut(&mut self, j: usize) -> &mut [f64] {
        let (start, end) = (self.start(j), self.start(j + 1));
        &mut self.sums[start..end]
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sums.fill(0.0);
    }

    /// Σ w.
    pub fn total(&self) -> f64 {
        self.sums.first().copied().unwrap_or(0.0)
    }

    /// Adds rows, each [`Self::row_length`] long, with their weights; a negative weight takes one
    /// out again.
    pub fn add(&mut self, rows: &[f64], weights: &[f64]) {
        WIDEST.dispatch(Adding {
            gram: self,
            rows,
            weights,
        });
    }

    #[inline(always)]
    fn add_all<S: Simd>(&mut self, simd: S, rows: &[f64], weights: &[f64]) {
        let batches = rows.chunks(TOGETHER * self.stride);
        for (rows, weights) in batches.zip(weights.chunks(TOGETHER)) {
            match weights {
                [a, b, c, d] => self.add_four(simd, rows, [*a, *b, *c, *d]),
                few => {
                    for (row, weight) in rows.chunks_exact(self.stride).zip(few) {
                        self.add_one(simd, row, *weight);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn add_four<S: Simd>(&mut self, simd: S, rows: &[f64], weights: [f64; TOGETHER]) {
        let stride = self.stride;
        let (first, rest) = rows.split_at(stride);
        let (second, rest) = rest.split_at(stride);
        let (third, fourth) = rest.split_at(stride);
        let mut sums = self.sums.as_mut_slice();
        for j in 0..self.columns {
            let (line, rest) = sums.split_at_mut(stride - begin(j));
            sums = rest;
            let of = [
                weights[0] * first[j],
                weights[1] * second[j],
                weights[2] * third[j],
                weights[3] * fourth[j],
            ];
            if of.iter().all(|factor| *factor == 0.0) {
                continue; // most calendar columns are zero on most days
            }
            let rows = [first, second, third, fourth].map(|row| &row[begin(j)..]);
            combine(simd, line, of, rows);
        }
    }

    #[inline(always)]
    fn add_one<S: Simd>(&mut self, simd: S, row: &[f64], weight: f64) {
        let mut sums = self.sums.as_mut_slice();
        for j in 0..self.columns {
            let (line, rest) = sums.split_at_mut(self.stride - begin(j));
            sums = rest;
            let factor = weight * row[j];
            if factor != 0.0 {
                add_scaled(simd, line, factor, &row[begin(j)..]);
            }
        }
    }

    /// Adds so many days on which the column was one, all others zero, and nothing came of it.
    pub fn hold(&mut self, column: usize, days: f64) {
        self.line_mut(column)[column - begin(column)] += days;
    }

    /// Becomes the mix Σ factor · sums.
    pub fn mix(&mut self, parts: &[Self], factors: &[f64]) {
        WIDEST.dispatch(Mixing {
            gram: self,
            parts,
            factors,
        });
    }

    #[inline(always)]
    fn mix_all<S: Simd>(&mut self, simd: S, parts: &[Self], factors: &[f64]) {
        self.clear();
        let fours = parts.chunks(TOGETHER).zip(factors.chunks(TOGETHER));
        for (parts, factors) in fours {
            if let ([a, b, c, d], [w, x, y, z]) = (parts, factors) {
                let lines = [&a.sums[..], &b.sums[..], &c.sums[..], &d.sums[..]];
                combine(simd, &mut self.sums, [*w, *x, *y, *z], lines);
            } else {
                for (part, factor) in parts.iter().zip(factors) {
                    add_scaled(simd, &mut self.sums, *factor, &part.sums);
                }
            }
        }
    }

    /// Coefficients that minimise Σ w (y − x·b)² + Σ λ b²; `largest` are the largest absolute values
    /// of the columns, `alive` which of them may be used (empty: all). The sums become the factor.
    ///
    /// None if nothing has weight or no finite answer exists.
    pub fn solve(&mut self, penalty: Penalty, largest: &[f64], alive: &[bool]) -> Option<Vec<f64>> {
        let total = self.total();
        if total <= 0.0 || !total.is_finite() {
            return None;
        }
        self.penalise(total, penalty, largest, alive);
        WIDEST.dispatch(Factoring(self))?;
        let coefficients = self.substitute();
        coefficients
            .iter()
            .all(|v| v.is_finite())
            .then_some(coefficients)
    }

    fn penalise(&mut self, total: f64, penalty: Penalty, largest: &[f64], alive: &[bool]) {
        let means: Vec<f64> = self.sums[..self.columns]
            .iter()
            .map(|s| s / total)
            .collect();
        for j in 0..self.columns {
            if alive.get(j) == Some(&false) {
                self.drop_column(j);
            }
            let diagonal = &mut self.line_mut(j)[j - begin(j)];
            let square = *diagonal;
            // Even a column that never moves must not make the matrix singular.
            let least = 1e-9 * total * (1.0 + square / total);
            *diagonal += least;
            if j > 0 {
                let variance = (square / total - means[j] * means[j]).max(0.0);
                *diagonal += penalty.relative * total * variance
                    + penalty.pseudo_days * largest[j] * largest[j];
            }
        }
    }

    fn drop_column(&mut self, column: usize) {
        for j in 0..column {
            self.line_mut(j)[column - begin(j)] = 0.0;
        }
        self.line_mut(column).fill(0.0);
    }

    /// Cholesky: `A = RᵀR`, row by row; the right side is carried along as the column of y.
    #[inline(always)]
    fn factor<S: Simd>(&mut self, simd: S) -> Option<()> {
        let stride = self.stride;
        let mut start = 0;
        for j in 0..self.columns {
            let first = begin(j);
            let (done, rest) = self.sums.split_at_mut(start);
            let row = &mut rest[..stride - first];
            start += row.len();
            let mut above = &*done;
            for k in (0..first).step_by(TOGETHER) {
                let length = stride - k;
                let (four, rest) = above.split_at(TOGETHER * length);
                above = rest;
                let line = |i: usize| &four[i * length..(i + 1) * length];
                let of = [0, 1, 2, 3].map(|i| -line(i)[j - k]);
                let lines = [0, 1, 2, 3].map(|i| &line(i)[first - k..]);
                combine(simd, row, of, lines);
            }
            for line in above.chunks_exact(stride - first) {
                add_scaled(simd, row, -line[j - first], line);
            }
            let pivot = row[j - first];
            if !(pivot > 0.0 && pivot.is_finite()) {
                return None;
            }
            let root = pivot.sqrt().recip();
            for value in row.iter_mut() {
                *value *= root;
            }
        }
        Some(())
    }

    /// Solves `R b = r`.
    fn substitute(&self) -> Vec<f64> {
        let mut b = vec![0.0; self.columns];
        for j in (0..self.columns).rev() {
            let row = &self.sums[self.start(j)..self.start(j + 1)];
            let of = |column: usize| column - begin(j);
            let known = super::dot(&row[of(j + 1)..of(self.columns)], &b[j + 1..]);
            b[j] = (row[of(self.columns)] - known) / row[of(j)];
        }
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::linear::{Design, ridge};

    const PENALTY: Penalty = Penalty {
        relative: 0.01,
        pseudo_days: 0.2,
    };

    fn rows(count: usize, columns: usize) -> (Vec<f64>, Vec<f64>) {
        let mut rows = Vec::new();
        for i in 0..count {
            rows.push(1.0);
            for j in 1..=columns {
                let value = ((i * 7919 + j * 104_729) % 1009) as f64 / 500.0 - 1.0;
                rows.push(if j % 3 == 0 && i % 5 > 0 { 0.0 } else { value });
            }
            rows.resize((i + 1) * Gram::row_length(columns), 0.0);
        }
        let weights = (0..count).map(|i| 0.5 + (i % 7) as f64 / 7.0).collect();
        (rows, weights)
    }

    fn largest(rows: &[f64], columns: usize) -> Vec<f64> {
        (0..columns)
            .map(|j| {
                rows.chunks(Gram::row_length(columns))
                    .fold(0.0, |m: f64, row| m.max(row[j].abs()))
            })
            .collect()
    }

    #[test]
    fn sums_give_what_rows_give() {
        let columns = 9;
        let (rows, weights) = rows(123, columns);
        let mut x = Design::new(columns);
        let mut y = Vec::new();
        for row in rows.chunks(Gram::row_length(columns)) {
            x.push(&row[..columns]);
            y.push(row[columns]);
        }
        let expected = ridge(&x, &y, &weights, PENALTY).unwrap();
        let mut gram = Gram::new(columns);
        gram.add(&rows, &weights);
        let b = gram.solve(PENALTY, &largest(&rows, columns), &[]).unwrap();
        for (a, b) in b.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }

    #[test]
    fn parts_mix_and_a_row_taken_out_is_gone() {
        let columns = 4;
        let (rows, weights) = rows(50, columns);
        let wide = Gram::row_length(columns);
        let cut = 20 * wide;
        let (mut early, mut late) = (Gram::new(columns), Gram::new(columns));
        early.add(&rows[..cut], &weights[..20]);
        late.add(&rows[cut..], &weights[20..]);
        let last = &rows[rows.len() - wide..];
        late.add(last, &[-weights[49]]);
        // Four of the parts are mixed at once, a fifth alone.
        let nothing = Gram::new(columns);
        let parts = [nothing.clone(), early, nothing.clone(), nothing, late];
        let mut mixed = Gram::new(columns);
        mixed.mix(&parts, &[1.0, 0.25, 1.0, 1.0, 1.0]);
        let scaled: Vec<f64> = (0..49)
            .map(|i| if i < 20 { 0.25 } else { 1.0 } * weights[i])
            .collect();
        let mut whole = Gram::new(columns);
        whole.add(&rows[..rows.len() - wide], &scaled);
        for (a, b) in mixed.sums.iter().zip(&whole.sums) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }

    #[test]
    fn errors_are_what_coefficients_miss() {
        for columns in [3, 4, 9] {
            let (rows, _) = rows(7, columns);
            let b: Vec<f64> = (0..columns).map(|j| 0.5 - j as f64).collect();
            let missed = errors(&rows, &b);
            assert_eq!(missed.len(), 7);
            for (missed, row) in missed.iter().zip(rows.chunks(Gram::row_length(columns))) {
                let expected = row[columns] - crate::forecast::linear::dot(&b, &row[..columns]);
                assert!((missed - expected).abs() < 1e-12, "{missed} {expected}");
            }
        }
    }

    #[test]
    fn a_held_column_is_one_with_rows_that_show_nothing() {
        let columns = 5;
        let (rows, weights) = rows(60, columns);
        let mut gram = Gram::new(columns);
        gram.add(&rows, &weights);
        let mut shown = gram.clone();
        gram.hold(2, 3.0);
        let mut row = vec![0.0; Gram::row_length(columns)];
        row[2] = 1.0;
        shown.add(&row, &[3.0]);
        assert_eq!(gram, shown);
    }

    #[test]
    fn a_dropped_column_has_no_coefficient_and_nothing_has_no_answer() {
        let columns = 4;
        let (rows, weights) = rows(50, columns);
        let mut gram = Gram::new(columns);
        gram.add(&rows, &weights);
        let alive = [true, true, false, true];
        let b = gram
            .solve(PENALTY, &largest(&rows, columns), &alive)
            .unwrap();
        assert!(b[2].abs() < 1e-12 && b[1].abs() > 1e-6, "{b:?}");
        assert_eq!(Gram::new(4).solve(PENALTY, &[1.0; 4], &[]), None);
    }
}
