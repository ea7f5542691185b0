//! The first week of a longer forecast, learnt from as many past origins as that of a week.
//!
//! A month ahead is learnt from few origins of four years, for months that are like the one to come
//! are few; tomorrow from every day of two years, for the last days say most of it. So the days of the
//! first week are corrected by what the second kind of origins teach, whatever the horizon.

use super::learning::block_of;
use super::view::{View, Weather};
use super::{BLEND_FROM_LEAD, DailyModel};
use crate::forecast::models::correction::{Correction, Corrections, lead_group};

/// Days of the first week.
const WEEK: usize = BLEND_FROM_LEAD - 1;

/// The corrections of the first week, and where the parts of the past lie that they leave out.
pub(super) struct NearWeek {
    corrections: Vec<Corrections>,
    /// Origins that were learnt from, earliest first.
    learnt_from: Vec<usize>,
}

impl DailyModel {
    /// Past origins of a forecast of a week, where the forecast reaches further; else none.
    pub(super) fn near_origins(&self, origin: usize, horizon: usize) -> Vec<usize> {
        if horizon < BLEND_FROM_LEAD {
            Vec::new()
        } else {
            self.past_origins(origin, WEEK)
        }
    }

    /// What these origins teach of the first week; none if there are none.
    pub(super) fn near_week(
        &self,
        origins: &[usize],
        origin: usize,
        weather: &Weather<'_>,
    ) -> Option<NearWeek> {
        let views: Vec<View> = origins
            .iter()
            .filter_map(|at| {
                let fit = self.fit_at(*at)?;
                Some(self.seen_from(*at, fit, WEEK, weather, None))
            })
            .collect();
        if views.is_empty() {
            return None;
        }
        Some(NearWeek {
            corrections: self.corrections(&views, origin, 1..=WEEK),
            learnt_from: views.iter().map(|view| view.at).collect(),
        })
    }
}

impl NearWeek {
    /// The correction of a lead of the first week; none of a later one.
    pub(super) fn of(&self, lead: usize) -> Option<&Correction> {
        self.by_lead(lead).map(|corrections| &corrections.all)
    }

    /// The same as it would have been, had the past origin `at` not been learnt from.
    pub(super) fn without(&self, at: usize, lead: usize) -> Option<&Correction> {
        let corrections = self.by_lead(lead)?;
        let place = self.learnt_from.partition_point(|learnt| *learnt < at);
        if place == 0 && self.learnt_from.first() != Some(&at) {
            return Some(&corrections.all); // older than all that was learnt from
        }
        let count = self.learnt_from.len();
        corrections
            .without
            .get(block_of(place.min(count - 1), count))
    }

    fn by_lead(&self, lead: usize) -> Option<&Corrections> {
        (lead <= WEEK)
            .then(|| self.corrections.get(lead_group(lead)))
            .flatten()
    }
}
