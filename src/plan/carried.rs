//! Gas that passes through the network without being ours (过网气): of customers to whom the upstream
//! sells (代销) or whose gas we only transport (代输). It needs capacity and shares in the loss, but no
//! contract of ours buys it.

use std::collections::BTreeMap;

use crate::domain::breakdown::{Addition, Breakdown, ConsumerForecast, Part};
use crate::domain::customer::CustomerClass;
use crate::domain::id::{CustomerId, ZoneId};
use crate::domain::registry::Registry;

/// What of a run's P50 is carried for others, beside the class [`CustomerClass::Wheeling`], all of which
/// is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// Whole m³ by day of the run, zone and class, in the order of [`Part::ALL`].
    of: BTreeMap<(usize, ZoneId, CustomerClass), [i64; 4]>,
    /// Projects that are counted in it.
    projects: Vec<String>,
}

impl Carried {
    /// Of a run with what it consists of: large consumers one by one, and projects that name their
    /// customer. Of a run of an earlier program, which does not say, nothing is known.
    pub fn of(registry: &Registry, breakdown: Option<&Breakdown>) -> Self {
        let mut carried = Self::default();
        let Some(breakdown) = breakdown else {
            return carried;
        };
        let is_carried = |id: &CustomerId| {
            let customer = registry.customers.get(id);
            customer.is_some_and(|c| !c.is_bought_for())
        };
        for consumer in breakdown
            .consumers
            .iter()
            .filter(|c| is_carried(&c.customer))
        {
            carried.add_consumer(consumer);
        }
        for project in &registry.new_connections {
            let is_of_others = project.class == CustomerClass::Wheeling
                || project.customer.as_ref().is_some_and(&is_carried);
            if is_of_others && !carried.has_project(&project.id) {
                let additions = breakdown.connections.iter();
                for addition in additions.filter(|a| a.id == project.id) {
                    carried.add_project(addition);
                }
                carried.projects.push(project.id.clone());
            }
        }
        carried
    }

    fn add_consumer(&mut self, consumer: &ConsumerForecast) {
        for (at, day) in consumer.days.iter().enumerate() {
            let part = if day.is_planned {
                Part::Planned
            } else {
                Part::Statistical
            };
            self.add(at, consumer, part, day.band.p50_m3);
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a project's day is far below 2^53 m³"
    )]
    fn add_project(&mut self, addition: &Addition) {
        for (at, m3) in addition.m3.iter().enumerate() {
            let key = (at, addition.node.zone.clone(), addition.node.class);
            let cell = self.of.entry(key).or_default();
            if let Some(cell) = cell.get_mut(Part::New.index()) {
                *cell += m3.round() as i64;
            }
        }
    }

    fn add(&mut self, at: usize, consumer: &ConsumerForecast, part: Part, m3: i64) {
        let key = (at, consumer.node.zone.clone(), consumer.node.class);
        if let Some(cell) = self.of.entry(key).or_default().get_mut(part.index()) {
            *cell += m3;
        }
    }

    /// m³ of a zone × class on a day of the run, by part.
    pub(crate) fn parts(&self, day: usize, zone: &ZoneId, class: CustomerClass) -> [i64; 4] {
        let key = (day, zone.clone(), class);
        self.of.get(&key).copied().unwrap_or_default()
    }

    /// Whether a project is counted in it.
    pub(crate) fn has_project(&self, id: &str) -> bool {
        self.projects.iter().any(|p| p == id)
    }
}
