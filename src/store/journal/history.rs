//! The journal as a store of long history, and the points it tells another store.

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::ingest::epoch_day;
use super::series::reading_days;
use super::{Journal, millis};
use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::reading::{Item, Reading};
use crate::domain::series::LoadCurve;
use crate::store::error::StoreError;
use crate::store::history::{
    History, HistoryError, HistoryPoint, frozen_by_instant, frozen_totals, points_of,
};

/// A point of a meter.
pub type MeterPoint = (MeterId, HistoryPoint);

impl Journal {
    /// The gas days that readings, or totals in their arrays, can stand on. Blocks.
    fn history_days(&self) -> Result<Option<(i32, i32)>, StoreError> {
        self.read("reading the span of readings", |c| {
            let span = reading_days(c)?;
            let far: Option<i32> = c
                .prepare_cached("SELECT min(day) FROM presence_far")?
                .query_row([], |row| row.get(0))?;
            // Nearer arrays speak of the day before their row's at most.
            Ok(span.map(|(first, last)| (far.unwrap_or(first).min(first - 1), last + 1)))
        })
    }

    fn day_points(
        &self,
        meter: &MeterId,
        day: GasDay,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<HistoryPoint>, StoreError> {
        let (start, end) = (self.clock().start_of(day), self.clock().end_of(day));
        let readings = self.curve_readings(meter, Item::TotalStd, day, day.plus(1), 0)?;
        Ok(points_of(&readings, from.max(start), to.min(end)))
    }

    /// The points that a reading says something of, as all readings together have them now.
    pub(super) fn append_points(
        &self,
        c: &Connection,
        reading: Reading,
        out: &mut Vec<MeterPoint>,
    ) -> rusqlite::Result<()> {
        let meter = reading.meter.clone();
        if !reading.frozen.is_empty() {
            self.append_frozen(c, &reading, out)?;
        }
        let point = HistoryPoint {
            at: reading.sampled_at,
            values: reading.values,
            frozen: Vec::new(),
            alarms: reading.alarms,
        };
        if !point.is_empty() {
            out.push((meter, point));
        }
        Ok(())
    }

    fn append_frozen(
        &self,
        c: &Connection,
        reading: &Reading,
        out: &mut Vec<MeterPoint>,
    ) -> rusqlite::Result<()> {
        for array in &reading.frozen {
            let mut instants = frozen_totals(array).map(|(at, _)| at);
            let Some(first) = instants.next() else {
                continue;
            };
            let last = instants.last().unwrap_or(first);
            let days =
                epoch_day(self.clock(), millis(first))..epoch_day(self.clock(), millis(last)) + 1;
            let others = self.rows_about(c, &reading.meter, array.item, days)?;
            let totals = frozen_by_instant(&others);
            for (at, units) in frozen_totals(array) {
                let units = totals.get(&(at, array.item)).copied().unwrap_or(units);
                let frozen = vec![(array.item, units)];
                out.push((
                    reading.meter.clone(),
                    HistoryPoint {
                        frozen,
                        ..HistoryPoint::new(at)
                    },
                ));
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

impl History for Journal {
    async fn for_each_point(
        &self,
        meter: &MeterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        mut take: impl FnMut(HistoryPoint) + Send,
    ) -> Result<(), HistoryError> {
        let journal = self.clone();
        let Some((first, last)) = blocking(move || journal.history_days()).await? else {
            return Ok(());
        };
        let first = epoch_day(self.clock(), millis(from)).max(first);
        let last = epoch_day(self.clock(), millis(to)).min(last);
        for day in first..=last {
            let (journal, meter) = (self.clone(), meter.clone());
            let day = GasDay::from_epoch_day(day);
            let points = blocking(move || journal.day_points(&meter, day, from, to)).await?;
            points.into_iter().for_each(&mut take);
        }
        Ok(())
    }

    async fn curves_between(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<LoadCurve>, HistoryError> {
        let (journal, meter) = (self.clone(), meter.clone());
        Ok(blocking(move || journal.curves_of(&meter, from, to)).await?)
    }
}
