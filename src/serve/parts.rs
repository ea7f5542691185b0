//! The four parts of a run as tables. Everything here blocks.

use crate::domain::breakdown::Breakdown;
use crate::domain::demand::DemandView;
use crate::serve::api::outlook::{
    ConsumerRow, NodeRow, PartsDay, PartsM3, PartsRow, PartsView, ProjectRow,
};
use crate::serve::figures::forecast::{Dimension, members_of};
use crate::serve::figures::overview::Run;
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;

impl AppState {
    /// The parts of a run, from today on.
    pub(super) fn parts_view(&self, run: &Run, by: Dimension) -> Result<PartsView, ApiProblem> {
        let forecast = &run.forecast;
        let parts = self
            .book()
            .breakdown(&forecast.run_id)
            .map_err(|error| ApiProblem::store("the book", &error))?
            .ok_or_else(|| {
                ApiProblem::not_found(
                    "forecast.no_parts",
                    "this run was made by an earlier version and has no parts; the next run has",
                )
            })?;
        let registry = self.registry();
        let today = self.gas_day();
        let index = |ahead: i64| forecast.day_index(today.plus(ahead));
        let of = |view: &DemandView, at: Option<usize>| -> PartsM3 {
            at.map_or_else(PartsM3::default, |at| parts.day_m3(view, at).into())
        };
        let rows = match by {
            Dimension::Slot | Dimension::Total => Vec::new(),
            Dimension::Source | Dimension::Class => members_of(&registry, forecast, by),
        };
        Ok(PartsView {
            run_id: forecast.run_id.to_string(),
            by,
            days: forecast
                .days
                .iter()
                .enumerate()
                .filter(|(_, day)| **day >= today)
                .map(|(at, day)| PartsDay {
                    gas_day: *day,
                    parts: parts.day_m3(&DemandView::total(), at).into(),
                })
                .collect(),
            rows: rows
                .into_iter()
                .map(|member| PartsRow {
                    today: of(&member.view, index(0)),
                    tomorrow: of(&member.view, index(1)),
                    key: member.label.key,
                    name_zh: member.label.name_zh,
                    name_en: member.label.name_en,
                })
                .collect(),
            nodes: index(1).map_or_else(Vec::new, |at| nodes(run, &parts, at)),
            consumers: index(1).map_or_else(Vec::new, |at| self.consumers(&parts, at)),
            projects: self.projects(&parts),
        })
    }

    fn consumers(&self, parts: &Breakdown, at: usize) -> Vec<ConsumerRow> {
        let registry = self.registry();
        let mut rows: Vec<ConsumerRow> = parts
            .consumers
            .iter()
            .filter_map(|consumer| {
                let day = consumer.days.get(at)?;
                let known = registry.customers.get(&consumer.customer);
                Some(ConsumerRow {
                    customer: consumer.customer.to_string(),
                    name: known.map_or_else(String::new, |c| c.name.clone()),
                    zone: consumer.node.zone.to_string(),
                    class: consumer.node.class.key().to_owned(),
                    is_planned: day.is_planned,
                    model: consumer.model.clone(),
                    plan_bias: consumer.plan_bias,
                    tomorrow: day.band.into(),
                })
            })
            .collect();
        rows.sort_by(|a, b| {
            let m3 = |row: &ConsumerRow| row.tomorrow.p50_m3;
            m3(b).cmp(&m3(a)).then_with(|| a.customer.cmp(&b.customer))
        });
        rows
    }

    fn projects(&self, parts: &Breakdown) -> Vec<ProjectRow> {
        let registry = self.registry();
        let added = |id: &str| parts.connections.iter().find(|one| one.id == id);
        registry
            .connections_known_at(self.now())
            .into_iter()
            .map(|project| {
                let m3 = added(&project.id)
                    .map(|one| one.m3.as_slice())
                    .unwrap_or_default();
                ProjectRow {
                    id: project.id.clone(),
                    name: project.name.clone(),
                    zone: project.zone.to_string(),
                    class: project.class.key().to_owned(),
                    stage: project.stage.key().to_owned(),
                    connected_on: project.connected_on,
                    connected_m3_per_day: project.connected_m3_per_day,
                    coefficient: project.coefficient,
                    probability: project.chance(),
                    last_day_m3: m3.last().copied().unwrap_or(0.0),
                    total_m3: m3.iter().sum(),
                }
            })
            .collect()
    }
}

fn nodes(run: &Run, parts: &Breakdown, at: usize) -> Vec<NodeRow> {
    run.forecast
        .nodes
        .iter()
        .map(|node| {
            let view = DemandView {
                zone: Some(node.node.zone.clone()),
                class: Some(node.node.class),
                ..DemandView::default()
            };
            let total_m3 = parts.day_m3(&view, at).iter().sum();
            let consumers_m3 = parts.consumers_m3(&node.node, at);
            NodeRow {
                zone: node.node.zone.to_string(),
                class: node.node.class.key().to_owned(),
                consumers_m3,
                rest_m3: total_m3 - consumers_m3,
                total_m3,
            }
        })
        .collect()
}
