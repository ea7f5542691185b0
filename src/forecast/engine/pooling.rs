//! What customers of a class have learnt of rare days, for those who learnt little or nothing.

use std::collections::BTreeMap;

use super::ForecastRequest;
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::forecast::models::rare_days::{ClassPool, ClassPrior, Evidence};
use crate::forecast::parts;

/// Priors of nodes and of large consumers, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Priors {
    pub(super) nodes: Vec<Option<ClassPrior>>,
    pub(super) consumers: Vec<Option<ClassPrior>>,
}

impl Priors {
    /// From what the nodes say, `(class, evidence)`, and what the consumers of the request do.
    pub(super) fn new(
        request: &ForecastRequest,
        today: GasDay,
        of_nodes: Vec<(CustomerClass, Evidence)>,
    ) -> Self {
        let nodes = of_nodes.len();
        let of_consumers = request.parts.consumers.iter().map(|consumer| {
            let evidence = parts::rare_evidence(consumer, request, today);
            (consumer.node.class, evidence)
        });
        let all: Vec<_> = of_nodes.into_iter().chain(of_consumers).collect();
        let count = all.len();
        let mut classes: BTreeMap<CustomerClass, (Vec<usize>, Vec<Evidence>)> = BTreeMap::new();
        for (index, (class, evidence)) in all.into_iter().enumerate() {
            let of_class = classes.entry(class).or_default();
            of_class.0.push(index);
            of_class.1.push(evidence);
        }
        let mut priors = vec![None; count];
        for (members, evidence) in classes.into_values() {
            let pool = ClassPool::new(evidence);
            for (place, index) in members.into_iter().enumerate() {
                priors[index] = pool.prior(place);
            }
        }
        let consumers = priors.split_off(nodes);
        Self {
            nodes: priors,
            consumers,
        }
    }
}
