//! Who may be asked. A protected customer cannot pass by construction: [`NudgeableCustomer`] has
//! one constructor, and it refuses them.

use std::cmp::Ordering;

use serde::Serialize;

use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::id::CustomerId;
use crate::domain::quantity::YuanPerM3;

/// Protection ranks up to this one are never nudged: households, heating, hospitals, schools, old
/// people's homes, buses, trade that daily life needs (domain.md §10.A).
pub const PROTECTION_RANK_MAX: u8 = 5;

/// Why a customer may not be nudged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Refusal {
    /// Households, heating, public service at the household price.
    #[error("class {} is protected", class.key())]
    ProtectedClass {
        /// The class.
        class: CustomerClass,
    },
    /// Hospitals, schools and so on, whatever their class.
    #[error("protection rank {rank} is protected; ranks above {PROTECTION_RANK_MAX} may be asked")]
    ProtectedRank {
        /// The rank.
        rank: u8,
    },
    /// Did not agree to receive suggestions, or withdrew.
    #[error("has not agreed to receive suggestions")]
    NotOptedIn,
    /// Has nothing to shift.
    #[error("has no volume that can move off the peak")]
    NoShiftableVolume,
}

/// A customer who may be nudged. Only [`NudgeableCustomer::admit`] makes one; it is neither
/// deserialised nor built field by field.
#[derive(Debug, Clone, PartialEq)]
pub struct NudgeableCustomer(Customer);

impl NudgeableCustomer {
    /// Admits a customer who may be asked.
    ///
    /// # Errors
    /// Why not; protection is looked at before everything else.
    pub fn admit(customer: &Customer) -> Result<Self, Refusal> {
        if customer.class.is_protected() {
            return Err(Refusal::ProtectedClass {
                class: customer.class,
            });
        }
        if customer.protection_rank <= PROTECTION_RANK_MAX {
            return Err(Refusal::ProtectedRank {
                rank: customer.protection_rank,
            });
        }
        if !customer.is_nudge_opted_in {
            return Err(Refusal::NotOptedIn);
        }
        let shiftable = customer.shiftable_m3_per_day;
        if !shiftable.is_finite() || shiftable <= 0.0 {
            return Err(Refusal::NoShiftableVolume);
        }
        Ok(Self(customer.clone()))
    }

    /// Account number.
    pub fn id(&self) -> &CustomerId {
        &self.0.id
    }

    /// What the registry says.
    pub fn customer(&self) -> &Customer {
        &self.0
    }

    /// Largest reduction that can be asked for in a window, m³/h: the shiftable volume over the
    /// window, and never below the flow that keeps furnaces alive.
    pub fn ask_m3h(&self, window_hours: usize, baseline_m3h: f64) -> f64 {
        let by_volume = self.0.shiftable_m3_per_day / window_hours.max(1) as f64;
        let above_safe = baseline_m3h - self.0.flow_min_safe_m3h.max(0.0);
        by_volume.min(above_safe).max(0.0)
    }
}

/// A customer with what asking is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Who.
    pub customer: NudgeableCustomer,
    /// Part of earlier suggestions that were followed, 0 to 1.
    pub response_rate: f64,
    /// Volume that can be kept out of the window, m³.
    pub shiftable_m3: f64,
    /// Shiftable volume × response rate × price gap, 元.
    pub score_yuan: f64,
}

impl Candidate {
    /// What asking is worth.
    pub fn new(
        customer: NudgeableCustomer,
        response_rate: f64,
        shiftable_m3: f64,
        gap: YuanPerM3,
    ) -> Self {
        let response_rate = response_rate.clamp(0.0, 1.0);
        Self {
            score_yuan: shiftable_m3 * response_rate * gap.to_f64(),
            customer,
            response_rate,
            shiftable_m3,
        }
    }
}

/// Best first; equal scores by shiftable volume, then by account number.
pub fn rank(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| {
        b.score_yuan
            .total_cmp(&a.score_yuan)
            .then(b.shiftable_m3.total_cmp(&a.shiftable_m3))
            .then_with(|| a.customer.id().cmp(b.customer.id()))
            .then(Ordering::Equal)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::customer;
    use proptest::prelude::*;

    #[test]
    fn only_who_may_be_asked_is_admitted() {
        let industrial = customer("I1", CustomerClass::Industrial, 8);
        assert!(NudgeableCustomer::admit(&industrial).is_ok());
        let mut out = industrial.clone();
        out.is_nudge_opted_in = false;
        assert_eq!(NudgeableCustomer::admit(&out), Err(Refusal::NotOptedIn));
        let mut fixed = industrial.clone();
        fixed.shiftable_m3_per_day = 0.0;
        assert_eq!(
            NudgeableCustomer::admit(&fixed),
            Err(Refusal::NoShiftableVolume)
        );
        // A hospital is a public service at the commercial price, and protected all the same.
        let hospital = customer("H1", CustomerClass::PublicService, 3);
        assert_eq!(
            NudgeableCustomer::admit(&hospital),
            Err(Refusal::ProtectedRank { rank: 3 })
        );
    }

    #[test]
    fn the_furnace_keeps_its_gas() {
        let c = NudgeableCustomer::admit(&customer("I1", CustomerClass::Industrial, 8)).unwrap();
        // 1200 m³ over 4 h are 300 m³/h; 200 m³/h must remain.
        assert!((c.ask_m3h(4, 960.0) - 300.0).abs() < 1e-9);
        assert!((c.ask_m3h(4, 350.0) - 150.0).abs() < 1e-9);
        assert!(c.ask_m3h(4, 150.0).abs() < 1e-9);
    }

    #[test]
    fn candidates_are_ranked_by_money_that_is_likely() {
        let make = |id: &str, response, volume| {
            let c = NudgeableCustomer::admit(&customer(id, CustomerClass::Industrial, 8)).unwrap();
            Candidate::new(c, response, volume, YuanPerM3("1.15".parse().unwrap()))
        };
        let mut all = vec![
            make("A", 0.2, 1000.0),
            make("B", 0.9, 400.0),
            make("C", 0.9, 400.0),
        ];
        rank(&mut all);
        let ids: Vec<&str> = all.iter().map(|c| c.customer.id().as_str()).collect();
        assert_eq!(ids, ["B", "C", "A"]);
    }

    proptest! {
        #[test]
        fn nobody_protected_is_ever_admitted(
            class in 0_usize..13, rank in 1_u8..=9, opted in any::<bool>(), shiftable in -10.0..5000.0_f64,
        ) {
            let mut c = customer("X", CustomerClass::ALL[class], rank);
            c.is_nudge_opted_in = opted;
            c.shiftable_m3_per_day = shiftable;
            if let Ok(admitted) = NudgeableCustomer::admit(&c) {
                prop_assert!(!c.class.is_protected());
                prop_assert!(c.protection_rank > PROTECTION_RANK_MAX);
                prop_assert!(c.is_nudge_opted_in && c.shiftable_m3_per_day > 0.0);
                prop_assert_eq!(admitted.id(), &c.id);
            }
        }
    }
}
