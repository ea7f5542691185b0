//! The vocabulary of the field: pure types, no input or output, no clock.

pub mod calendar;
pub mod contract;
pub mod customer;
pub mod demand;
pub mod filing;
pub mod finding;
pub mod frame;
pub mod id;
pub mod key;
pub mod live;
pub mod meter;
pub mod problem;
pub mod quantity;
pub mod reading;
pub mod registry;
pub mod series;
pub mod slot;
pub mod source;
pub mod text;
pub mod weather;
