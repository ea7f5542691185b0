//! What a day's demand is explained by: calendar and season, and weather.
//!
//! A feature row has two parts. [`calendar`] needs only dates and holidays; [`temperature`] needs
//! the temperatures of the day and the days before it, which for days to come are forecasts or
//! climatology. Lags of the demand itself are not here: they enter lead by lead in
//! [`crate::forecast::models::correction`], where it is plain what is known at the origin.

pub mod calendar;
pub mod temperature;
