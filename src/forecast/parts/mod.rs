//! The four parts of a forecast (domain.md §0.4): filed plans, the statistical rest, new connections,
//! named other factors; and the large consumers as nodes of the same joint draws.
//!
//! The engine forecasts zone × class from its history. Here, what is known by other means is put in
//! its place: a customer's corrected plan for its own expectation, projects and factors on top. What
//! such knowledge already did to the past is taken out of the history before learning
//! (`taken_out`), so that nothing counts twice. All of it happens draw by draw.

mod consumers;
mod mix;
mod publish;
mod taken_out;

#[cfg(test)]
mod tests;

pub use consumers::PLAN;
pub(super) use consumers::{KnownConsumer, OwnDays, model, own_days, rare_evidence};
pub(super) use mix::{Frame, NEW_NODE, flows, mix};
pub(super) use publish::whole_parts;
pub(super) use taken_out::{TakenOut, taken_out};
