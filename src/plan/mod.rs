//! Plan: declared quantities at least expected cost, the documents that state them, and their
//! workbooks. Pure: forecasts and contracts in, documents and bytes out.

pub mod carried;
pub mod cost;
pub mod declaration;
pub mod explain;
pub mod merit;
pub mod nomination;
pub mod problem;
pub mod solve;
pub mod spread;
pub mod supply;
pub mod terms;
pub mod workbook;

mod error;
#[cfg(test)]
pub(crate) mod fixture;

pub use error::PlanError;
