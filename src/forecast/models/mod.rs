//! Models of one daily series, and the hour shapes that cut days into hours.
//!
//! [`daily`] is what callers use: it takes the richest model the history allows. [`base`] is the
//! robust regression on calendar and weather, [`correction`] its direct correction by lead with the
//! node's own recent residuals, [`seasonal_naive`] the baseline and the fallback, [`paths`] the
//! residual paths from which draws are made, [`bands`] what their size is learnt by, [`blend`] the
//! ensemble of later leads, [`rare_days`] what alike customers say of the festival and of other rare
//! days; [`hourly`] and [`monthly`] are the models of hourly and monthly series.

pub mod bands;
pub mod base;
pub mod blend;
pub mod correction;
pub mod daily;
pub mod hourly;
pub mod monthly;
pub mod paths;
pub mod rare_days;
pub mod seasonal_naive;
pub mod series;
pub mod shape;
