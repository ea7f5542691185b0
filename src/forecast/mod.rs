//! Forecasts: series in, `DemandForecast` out. Pure.
