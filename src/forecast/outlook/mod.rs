//! What planners ask of a forecast beside its days: peaks, the design day, days alike, and whether it
//! can still be trusted. Pure.

pub mod design_day;
pub mod drift;
pub mod peaks;
pub mod similar;
