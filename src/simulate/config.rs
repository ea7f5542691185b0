//! What city to build.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::domain::calendar::{Calendar, CalendarYear, GasDay, GasDayClock, beijing_instant};
use crate::simulate::supply;

/// What city to build. The same configuration gives the same city, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct CityConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Meters, gate stations included. Sets the granularity only: the city's total stays the same.
    pub meters: usize,
    /// Ledger enterprises; fewer where `meters` leaves too few for them (one in seven meters).
    pub enterprises: usize,
    /// Households, behind neighbourhood meters; one in four heats with a wall-hung boiler.
    pub households: u32,
    /// Geometric volume of the pipes behind the gates of each zone, m³; 0 leaves nothing in them.
    pub pipe_volumes_m3: [f64; 2],
    /// Where history ends and live operation begins.
    pub now_at: DateTime<Utc>,
    /// Gas days of history before that of `now_at`.
    pub history_days: u32,
    /// Gas days that can be lived through from `now_at` on.
    pub live_days: u32,
    /// Host of the Modbus gateways as the registry writes it.
    pub modbus_host: String,
    /// TCP port of the first Modbus gateway; the others follow.
    pub modbus_port: u16,
    /// Holidays, make-up working days, school holidays and seasons.
    pub calendar: Calendar,
}

impl Default for CityConfig {
    /// 2,000 meters, 40 enterprises, 400 days before 2026-11-20 09:00 Beijing time.
    fn default() -> Self {
        Self {
            seed: 1,
            meters: 2_000,
            enterprises: 40,
            households: 185_000,
            pipe_volumes_m3: supply::PIPE_VOLUMES_M3,
            now_at: beijing_instant(
                NaiveDate::from_ymd_opt(2026, 11, 20).unwrap_or_default(),
                NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default(),
            ),
            history_days: 400,
            live_days: 120,
            modbus_host: "127.0.0.1".into(),
            modbus_port: 15_020,
            calendar: supply::with_local_calendar(shipped_calendar()),
        }
    }
}

impl CityConfig {
    /// The gas day of `now_at`, the first of live operation.
    pub fn today(&self) -> GasDay {
        GasDayClock::default().day_of(self.now_at)
    }

    /// The first gas day of history.
    pub fn start_on(&self) -> GasDay {
        self.today().plus(-i64::from(self.history_days))
    }

    /// The gas day after the last one that can be lived through.
    pub fn end_on(&self) -> GasDay {
        self.today().plus(i64::from(self.live_days.max(1)))
    }
}

/// The calendar files shipped under `config/calendar`, as of the build.
#[expect(
    clippy::expect_used,
    reason = "the files are part of the program; a test reads them"
)]
pub fn shipped_calendar() -> Calendar {
    let files = [
        include_str!("../../config/calendar/2020.toml"),
        include_str!("../../config/calendar/2021.toml"),
        include_str!("../../config/calendar/2022.toml"),
        include_str!("../../config/calendar/2023.toml"),
        include_str!("../../config/calendar/2024.toml"),
        include_str!("../../config/calendar/2025.toml"),
        include_str!("../../config/calendar/2026.toml"),
        include_str!("../../config/calendar/2027.toml"),
    ];
    Calendar::new(files.map(|text| {
        toml::from_str::<CalendarYear>(text).expect("shipped calendar files are valid")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_calendar_covers_the_default_city() {
        let config = CityConfig::default();
        let calendar = shipped_calendar();
        for day in [config.start_on(), config.today(), config.end_on()] {
            assert!(calendar.covers(day.month().year), "{day}");
        }
        assert_eq!(config.today().to_string(), "2026-11-20");
        assert_eq!(config.today().days_since(config.start_on()), 400);
    }
}
