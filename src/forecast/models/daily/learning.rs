//! What past origins teach: corrections by lead, the mix of members, residual paths.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::view::View;
use super::{BLEND_FROM_LEAD, CUT_DAYS, CutFit, DailyModel, REGRESSION_DAYS_MIN};
use crate::forecast::models::bands::scale_by_record;
use crate::forecast::models::blend::{Blend, Case, Known, Members};
use crate::forecast::models::correction::{
    BLOCKS, Correction, Corrections, Examples, LEAD_GROUPS, lead_group,
};
use crate::forecast::models::paths::{ResidualPath, fill_unknown, level_factor};
use crate::forecast::weather::Climatology;

/// Days of history from which on past fits knew enough of the year to speak of far leads.
const SEASONS_MET_DAYS: usize = 480;

/// The part of the past that a view is in.
pub(super) const fn block_of(index: usize, count: usize) -> usize {
    index * BLOCKS / count
}

/// What an origin learnt from its past, whatever the weather ahead: see [`DailyModel::learn`].
#[derive(Debug)]
pub struct Learnt {
    /// The fit of the origin's cut.
    pub(super) fit: Arc<CutFit>,
    pub(super) climatology: Climatology,
    /// By lead, that of 1 first.
    pub(super) corrections: Vec<Correction>,
    /// By lead group.
    pub(super) blends: Vec<Blend>,
    pub(super) past: Vec<SaidBefore>,
}

impl Learnt {
    /// Memory it takes beside itself, bytes, near enough.
    pub fn heap_bytes(&self) -> usize {
        let fit = &self.fit;
        let values = fit.expected.len() + fit.apart.len() + fit.plain.len();
        let said: usize = self.past.iter().map(|past| past.said.len()).sum();
        (values + said) * size_of::<f64>()
            + self.past.len() * size_of::<SaidBefore>()
            + self.corrections.len() * size_of::<Correction>()
            + self.blends.len() * size_of::<Blend>()
            + size_of::<CutFit>()
    }
}

/// What a past origin said, as the origin now would have had it said.
#[derive(Debug)]
pub(super) struct SaidBefore {
    at: usize,
    /// m³ by lead; NaN for days that are not known yet.
    said: Vec<f64>,
}

/// What the blends of an origin make of its past views, those from which residual paths come.
pub(super) fn said_before(
    views: &[View],
    members: &[Members],
    blends: &[Blend],
    origin: usize,
    horizon: usize,
) -> Vec<SaidBefore> {
    let complete = views.iter().filter(|v| v.at + horizon <= origin).count();
    views
        .iter()
        .zip(members.chunks(horizon.max(1)))
        .filter(|(view, _)| complete < 60 || view.at + horizon <= origin)
        .map(|(view, members)| {
            let said = (1..=horizon)
                .map(|lead| {
                    if view.at + lead > origin {
                        return f64::NAN;
                    }
                    blends[lead_group(lead)].of(members[lead - 1]).max(0.0)
                })
                .collect();
            SaidBefore { at: view.at, said }
        })
        .collect()
}

impl DailyModel {
    /// Past origins to learn from, earliest first; every one has a cut of its own.
    pub(super) fn past_origins(&self, origin: usize, horizon: usize) -> Vec<usize> {
        let first_value = self.series.first_known();
        let needs = |days: usize| first_value + days + self.options.fit_age_min;
        // Fits on less than a year say little of the next season; with more history they are left out.
        let earliest = if origin >= needs(365) + CUT_DAYS + horizon + 200 {
            needs(365) + CUT_DAYS
        } else {
            needs(REGRESSION_DAYS_MIN)
        };
        let reach = self.options.path_days_of(horizon);
        let earliest = earliest.max(origin.saturating_sub(reach));
        let count = origin.saturating_sub(earliest);
        let examples = if horizon < BLEND_FROM_LEAD {
            self.options.examples_max
        } else {
            self.options.late_examples_max
        };
        let most = (examples / horizon.max(1)).max(1);
        let mut step = count.div_ceil(most).max(1);
        if step % 7 == 0 {
            step += 1; // every weekday must be met
        }
        let mut past: Vec<usize> = (1..=count / step)
            .map(|k| k * step)
            .map(|back| origin - back)
            .filter(|at| self.series.values[*at].is_finite() && self.cut_of(*at).is_some())
            .collect();
        past.reverse();
        past
    }

    /// Corrections of these leads learnt from past views, by lead group; of other leads there are none.
    pub(super) fn corrections(
        &self,
        views: &[View],
        origin: usize,
        leads: RangeInclusive<usize>,
    ) -> Vec<Corrections> {
        let (first_lead, horizon) = leads.into_inner();
        let groups = lead_group(horizon) + 1;
        let is_new = self.is_new_to_a_season(origin);
        // Later leads are not learnt then.
        let learnt = if is_new {
            horizon.min(BLEND_FROM_LEAD - 1)
        } else {
            horizon
        };
        let mut examples: Vec<Examples> = (0..groups)
            .map(|group| {
                Examples::with_room_for(if group < lead_group(first_lead) {
                    0
                } else {
                    views.len()
                })
            })
            .collect();
        let day = self.series.traits[origin].day;
        let fit = self.fit_at(origin);
        let trust = |day| fit.map_or(1.0, |fit| fit.base.trust(&self.series, day));
        let mut part = 0;
        for (i, view) in views.iter().enumerate() {
            while part < block_of(i, views.len()) {
                examples.iter_mut().for_each(Examples::next_part);
                part += 1;
            }
            let past = self.series.traits[view.at].day;
            let weight = self.options.correction.weight_of(past, day);
            let of_origin = trust(view.at);
            for lead in first_lead..=learnt.min(origin - view.at) {
                let missed = self.series.values[view.at + lead] - view.expected[lead - 1];
                if missed.is_finite() {
                    let weight = weight * of_origin.min(trust(view.at + lead));
                    examples[lead_group(lead)].push(&view.features[lead - 1], missed, weight);
                }
            }
        }
        while part + 1 < BLOCKS {
            examples.iter_mut().for_each(Examples::next_part);
            part += 1;
        }
        let near = self.options.correction;
        let mut late = near;
        late.penalty.relative = self.options.late_penalty;
        late.relative_at_lead_1 = self.options.late_penalty;
        examples
            .iter()
            .enumerate()
            .map(
                |(group, of_lead)| match group < lead_group(BLEND_FROM_LEAD) {
                    true => Corrections::fit(of_lead, group, &near),
                    false if is_new => Corrections::level(),
                    false => Corrections::fit(of_lead, group, &late),
                },
            )
            .collect()
    }

    /// Whether the fits of past origins had not met the seasons that the present fit has: what they
    /// missed beyond a week says nothing of what it will miss.
    fn is_new_to_a_season(&self, origin: usize) -> bool {
        origin.saturating_sub(self.series.first_known()) < SEASONS_MET_DAYS
    }

    /// What each member says of a lead.
    pub(super) fn members(&self, view: &View, lead: usize, correction: &Correction) -> Members {
        let base = view.expected[lead - 1];
        let corrected = base + correction.of(&view.features[lead - 1]);
        if lead < BLEND_FROM_LEAD {
            return Members::regression(corrected);
        }
        let known = Known {
            values: self.plain_values(&view.fit),
            origin: view.at,
            level_ratio: view.level_ratio,
            carried: view.carried,
        };
        let mut members = Members::new(&known, lead, corrected, base);
        let apart = view.fit.apart(view.at + lead);
        if apart != 0.0 {
            members.add_to_naive(apart);
        }
        members
    }

    /// How the members are mixed, by lead group, as would have been best lately; `members` are those
    /// of all leads of each view.
    pub(super) fn blends(
        &self,
        views: &[View],
        members: &[Members],
        horizon: usize,
        origin: usize,
    ) -> Vec<Blend> {
        let mut cases: Vec<Vec<Case>> = vec![Vec::new(); LEAD_GROUPS];
        if horizon < BLEND_FROM_LEAD || self.is_new_to_a_season(origin) {
            return vec![Blend::REGRESSION; LEAD_GROUPS];
        }
        let day = self.series.traits[origin].day;
        let trusts = self.trusts(self.fit_at(origin).map(Arc::as_ref), origin);
        for (view, members) in views.iter().zip(members.chunks(horizon.max(1))) {
            let past = self.series.traits[view.at].day;
            let weight = self.options.correction.weight_of(past, day);
            // In the first week, what is known at the origin is in the correction already.
            for (lead, members) in (1..).zip(members).skip(BLEND_FROM_LEAD - 1) {
                let truth = match self.series.values.get(view.at + lead) {
                    Some(truth) if view.at + lead <= origin && truth.is_finite() => *truth,
                    _ => continue,
                };
                cases[lead_group(lead)].push(Case {
                    members: *members,
                    truth,
                    weight,
                    trust: trusts.of_said(view.at, view.at + lead),
                    origin: view.at,
                });
            }
        }
        cases.iter().map(|cases| Blend::fit(cases)).collect()
    }

    /// What was said before beside what came, at the level of this forecast.
    ///
    /// An estimated day misses by what the forecast and what the estimate missed; times the root of what the
    /// day counts its variance is that of the forecast alone.
    pub(super) fn paths(&self, learnt: &Learnt, origin: usize, p50: &[f64]) -> Vec<ResidualPath> {
        let past = &learnt.past;
        let trusts = self.trusts(Some(&learnt.fit), origin);
        let typical = self.series.typical_level(origin);
        let mut paths: Vec<ResidualPath> = past
            .iter()
            .map(|SaidBefore { at, said }| {
                let residuals = (1..)
                    .zip(said.iter().zip(p50))
                    .map(|(lead, (then, p50))| {
                        if at + lead > origin {
                            return f64::NAN;
                        }
                        let missed = self.series.values[at + lead] - then;
                        let missed = missed * trusts.root_of(at + lead);
                        missed * level_factor(*p50, *then, typical)
                    })
                    .collect();
                ResidualPath {
                    origin: self.series.traits[*at].day,
                    residuals,
                }
            })
            .collect();
        let counts = |path: usize, lead: usize| {
            past.get(path)
                .map_or(1.0, |said| trusts.of_said(said.at, said.at + lead))
        };
        scale_by_record(&mut paths, self.series.traits[origin].day, counts);
        fill_unknown(&mut paths);
        paths
    }
}
