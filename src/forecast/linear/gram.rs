//! Sums of weighted cross products that are added to, mixed and solved without their rows.
//!
//! A rolling forecast needs dozens of ridge regressions on almost the same rows. Kept as sums, a
//! new month is 28 rows more and another season is another mix of the same sums; what is left of
//! each regression is one small Cholesky factor (measured in the ADR on regressions from sums).

use super::Penalty;

/// Upper triangle of `[X y]ᵀ W [X y]`, row by row; the first column is the intercept.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    columns: usize,
    sums: Vec<f64>,
}

/// Rows that are added together, which loads and stores each sum once for all of them.
const TOGETHER: usize = 4;

impl Gram {
    /// Nothing yet of so many columns.
    pub fn new(columns: usize) -> Self {
        let wide = columns + 1;
        Self {
            columns,
            sums: vec![0.0; wide * (wide + 1) / 2],
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sums.fill(0.0);
    }

    /// Σ w.
    pub fn total(&self) -> f64 {
        self.sums.first().copied().unwrap_or(0.0)
    }

    /// Adds rows, each as long as there are columns and one more for y, with their weights.
    pub fn add(&mut self, rows: &[f64], weights: &[f64]) {
        let wide = self.columns + 1;
        let batches = rows.chunks(TOGETHER * wide);
        for (rows, weights) in batches.zip(weights.chunks(TOGETHER)) {
            match weights {
                [a, b, c, d] => self.add_four(rows, [*a, *b, *c, *d]),
                few => {
                    for (row, weight) in rows.chunks_exact(wide).zip(few) {
                        self.add_one(row, *weight);
                    }
                }
            }
        }
    }

    fn add_four(&mut self, rows: &[f64], weights: [f64; TOGETHER]) {
        let wide = self.columns + 1;
        let (first, rest) = rows.split_at(wide);
        let (second, rest) = rest.split_at(wide);
        let (third, fourth) = rest.split_at(wide);
        let mut sums = self.sums.as_mut_slice();
        for j in 0..wide {
            let (line, rest) = sums.split_at_mut(wide - j);
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
            let others = first[j..]
                .iter()
                .zip(&second[j..])
                .zip(&third[j..])
                .zip(&fourth[j..]);
            for (sum, (((w, x), y), z)) in line.iter_mut().zip(others) {
                *sum += (of[0] * w + of[1] * x) + (of[2] * y + of[3] * z);
            }
        }
    }

    /// Adds one row, `wide` as in [`Self::add`]; a negative weight takes it out again.
    pub fn add_one(&mut self, row: &[f64], weight: f64) {
        let wide = self.columns + 1;
        let mut sums = self.sums.as_mut_slice();
        for j in 0..wide {
            let (line, rest) = sums.split_at_mut(wide - j);
            sums = rest;
            let factor = weight * row[j];
            if factor == 0.0 {
                continue;
            }
            for (sum, other) in line.iter_mut().zip(&row[j..]) {
                *sum += factor * other;
            }
        }
    }

    /// Adds so many days on which the column was one, all others zero, and nothing came of it.
    pub fn hold(&mut self, column: usize, days: f64) {
        let wide = self.columns + 1;
        let start: usize = (0..column).map(|j| wide - j).sum();
        self.sums[start] += days;
    }

    /// Becomes the mix Σ factor · sums.
    pub fn mix(&mut self, parts: &[Self], factors: &[f64]) {
        self.clear();
        let fours = parts.chunks(TOGETHER).zip(factors.chunks(TOGETHER));
        for (parts, factors) in fours {
            if let ([first, second, third, fourth], [_, _, _, _]) = (parts, factors) {
                let of_four = (first.sums.iter().zip(&second.sums))
                    .zip(&third.sums)
                    .zip(&fourth.sums);
                for (sum, (((w, x), y), z)) in self.sums.iter_mut().zip(of_four) {
                    *sum += (factors[0] * w + factors[1] * x) + (factors[2] * y + factors[3] * z);
                }
            } else {
                for (part, factor) in parts.iter().zip(factors) {
                    for (sum, other) in self.sums.iter_mut().zip(&part.sums) {
                        *sum += factor * other;
                    }
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
        self.factor()?;
        let coefficients = self.substitute();
        coefficients
            .iter()
            .all(|v| v.is_finite())
            .then_some(coefficients)
    }

    fn penalise(&mut self, total: f64, penalty: Penalty, largest: &[f64], alive: &[bool]) {
        let wide = self.columns + 1;
        let means: Vec<f64> = self.sums[..wide].iter().map(|s| s / total).collect();
        let mut start = 0;
        for j in 0..self.columns {
            if alive.get(j) == Some(&false) {
                self.drop_column(j);
            }
            let square = self.sums[start];
            // Even a column that never moves must not make the matrix singular.
            let least = 1e-9 * total * (1.0 + square / total);
            self.sums[start] += least;
            if j > 0 {
                let variance = (square / total - means[j] * means[j]).max(0.0);
                self.sums[start] += penalty.relative * total * variance
                    + penalty.pseudo_days * largest[j] * largest[j];
            }
            start += wide - j;
        }
    }

    fn drop_column(&mut self, column: usize) {
        let wide = self.columns + 1;
        let mut start = 0;
        for j in 0..column {
            self.sums[start + column - j] = 0.0;
            start += wide - j;
        }
        self.sums[start..start + wide - column].fill(0.0);
    }

    /// Cholesky: `A = RᵀR`, row by row; the right side is carried along as the last column.
    fn factor(&mut self) -> Option<()> {
        let wide = self.columns + 1;
        let mut start = 0;
        for j in 0..self.columns {
            let (done, rest) = self.sums.split_at_mut(start);
            let row = &mut rest[..wide - j];
            let mut above = done;
            let mut k = 0;
            while k + TOGETHER <= j {
                let (first, rest) = above.split_at_mut(wide - k);
                let (second, rest) = rest.split_at_mut(wide - k - 1);
                let (third, rest) = rest.split_at_mut(wide - k - 2);
                let (fourth, rest) = rest.split_at_mut(wide - k - 3);
                above = rest;
                let (first, second) = (&first[j - k..], &second[j - k - 1..]);
                let (third, fourth) = (&third[j - k - 2..], &fourth[j - k - 3..]);
                let of = [first[0], second[0], third[0], fourth[0]];
                let of_four = first.iter().zip(second).zip(third).zip(fourth);
                for (value, (((w, x), y), z)) in row.iter_mut().zip(of_four) {
                    *value -= (of[0] * w + of[1] * x) + (of[2] * y + of[3] * z);
                }
                k += TOGETHER;
            }
            while k < j {
                let (line, rest) = above.split_at_mut(wide - k);
                above = rest;
                let line = &line[j - k..];
                let p = line[0];
                for (value, a) in row.iter_mut().zip(line) {
                    *value -= p * a;
                }
                k += 1;
            }
            let pivot = row[0];
            if !(pivot > 0.0 && pivot.is_finite()) {
                return None;
            }
            let root = pivot.sqrt().recip();
            for value in row.iter_mut() {
                *value *= root;
            }
            start += wide - j;
        }
        Some(())
    }

    /// Solves `R b = r`.
    fn substitute(&self) -> Vec<f64> {
        let wide = self.columns + 1;
        let mut b = vec![0.0; self.columns];
        let mut start = self.sums.len() - 1; // the sum of y² is not part of the factor
        for j in (0..self.columns).rev() {
            start -= wide - j;
            let row = &self.sums[start..start + wide - j];
            let known: f64 = super::dot(&row[1..wide - 1 - j], &b[j + 1..]);
            b[j] = (row[wide - 1 - j] - known) / row[0];
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
        }
        let weights = (0..count).map(|i| 0.5 + (i % 7) as f64 / 7.0).collect();
        (rows, weights)
    }

    fn largest(rows: &[f64], columns: usize) -> Vec<f64> {
        (0..columns)
            .map(|j| {
                rows.chunks(columns + 1)
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
        for row in rows.chunks(columns + 1) {
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
        let cut = 20 * (columns + 1);
        let (mut early, mut late) = (Gram::new(columns), Gram::new(columns));
        early.add(&rows[..cut], &weights[..20]);
        late.add(&rows[cut..], &weights[20..]);
        let last = &rows[rows.len() - columns - 1..];
        late.add_one(last, -weights[49]);
        // Four of the parts are mixed at once, a fifth alone.
        let nothing = Gram::new(columns);
        let parts = [nothing.clone(), early, nothing.clone(), nothing, late];
        let mut mixed = Gram::new(columns);
        mixed.mix(&parts, &[1.0, 0.25, 1.0, 1.0, 1.0]);
        let scaled: Vec<f64> = (0..49)
            .map(|i| if i < 20 { 0.25 } else { 1.0 } * weights[i])
            .collect();
        let mut whole = Gram::new(columns);
        whole.add(&rows[..rows.len() - columns - 1], &scaled);
        for (a, b) in mixed.sums.iter().zip(&whole.sums) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
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
        let mut row = vec![0.0; columns + 1];
        row[2] = 1.0;
        shown.add_one(&row, 3.0);
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
