//! What customers of a class have learnt of rare days, for those who learnt little or nothing.

use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::forecast::memory::Recall;
use crate::forecast::models::rare_days::{self, ClassPrior, Evidence};
use crate::forecast::parts;
use crate::forecast::request::ForecastRequest;

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
        recall: &Recall<'_>,
        today: GasDay,
        of_nodes: Vec<(CustomerClass, Evidence)>,
    ) -> Self {
        let nodes = of_nodes.len();
        let of_consumers = request.parts.consumers.iter().map(|consumer| {
            let evidence = parts::rare_evidence(consumer, request, recall, today);
            (consumer.node.class, evidence)
        });
        let all: Vec<_> = of_nodes.into_iter().chain(of_consumers).collect();
        let mut priors = rare_days::priors(all);
        let consumers = priors.split_off(nodes);
        Self {
            nodes: priors,
            consumers,
        }
    }
}
