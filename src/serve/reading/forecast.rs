//! Forecast runs and the page made of one.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{book_failed, in_book, journal_failed};
use crate::domain::id::RunId;
use crate::domain::months::MonthlyOutlook;
use crate::domain::registry::Registry;
use crate::serve::api::forecast::RunSummary;
use crate::serve::documents;
use crate::serve::figures::bought::Bought;
use crate::serve::figures::cells::Cells;
use crate::serve::figures::forecast::{
    Dimension, ForecastFacts, ForecastQuestion, ForecastView, Horizon, QualityRow, forecast_view,
};
use crate::serve::figures::overview::Run;
use crate::serve::figures::today::{Today, today};
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;
use crate::store::book::DocumentKind;

impl AppState {
    /// The latest published run.
    pub(in crate::serve) fn run_now(&self) -> Result<Option<Arc<Run>>, ApiProblem> {
        let headers = self
            .book()
            .forecast_runs_known_at(self.now(), 1)
            .map_err(book_failed)?;
        match headers.first() {
            Some(header) => self.run_by_id(&header.run_id),
            None => Ok(None),
        }
    }

    /// The latest published run; none where the book is damaged.
    pub(super) fn run_to_show(&self) -> Result<Option<Arc<Run>>, ApiProblem> {
        let headers = in_book(self.book().forecast_runs_known_at(self.now(), 1))?;
        let Some(header) = headers.first() else {
            return Ok(None);
        };
        self.run(&header.run_id, || {
            let forecast = in_book(self.book().forecast_run(&header.run_id))?;
            let breakdown = in_book(self.book().breakdown(&header.run_id))?;
            Ok(forecast.map(|f| Run::new(Arc::unwrap_or_clone(f)).with(breakdown)))
        })
    }

    fn run_by_id(&self, id: &RunId) -> Result<Option<Arc<Run>>, ApiProblem> {
        self.run(id, || {
            let forecast = self.book().forecast_run(id).map_err(book_failed)?;
            let breakdown = self.book().breakdown(id).map_err(book_failed)?;
            Ok(forecast.map(|f| Run::new(Arc::unwrap_or_clone(f)).with(breakdown)))
        })
    }

    /// The last run published before yesterday began.
    fn run_before_yesterday(
        &self,
        yesterday_starts: DateTime<Utc>,
    ) -> Result<Option<Arc<Run>>, ApiProblem> {
        let headers = self.book().forecast_runs(500).map_err(book_failed)?;
        match headers
            .iter()
            .find(|h| h.origin_at <= yesterday_starts && h.created_at <= yesterday_starts)
        {
            Some(header) => self.run_by_id(&header.run_id),
            None => Ok(None),
        }
    }

    /// The latest runs, newest first.
    pub(in crate::serve) fn run_summaries(
        &self,
        limit: usize,
    ) -> Result<Vec<RunSummary>, ApiProblem> {
        let headers = self.book().forecast_runs(limit).map_err(book_failed)?;
        let ids: Vec<RunId> = headers.into_iter().map(|h| h.run_id).collect();
        self.summaries(&ids, |id| {
            let forecast = self.book().forecast_run(id).map_err(book_failed)?;
            Ok(forecast.map(|f| RunSummary::from(&Run::new(Arc::unwrap_or_clone(f)))))
        })
    }

    fn today_and_history(
        &self,
        registry: &Registry,
        now: DateTime<Utc>,
    ) -> Result<(Today, Cells), ApiProblem> {
        let day = registry.company.gas_day_start_hour.day_of(now);
        let journal = self.journal();
        let curves = journal.curves_on(day).map_err(journal_failed)?;
        let earlier = self.earlier_curves(day)?;
        let history = Cells::of_demand(&self.demand(day)?, registry);
        Ok((today(registry, day, now, &curves, &earlier), history))
    }

    /// The forecast page; none if `key` is no member of the dimension.
    pub(in crate::serve) fn forecast_view(
        &self,
        run: &Run,
        horizon: Horizon,
        by: Dimension,
        key: Option<&str>,
    ) -> Result<Option<ForecastView>, ApiProblem> {
        let now = self.now();
        let registry = self.registry();
        let (today, history) = self.today_and_history(&registry, now)?;
        let yesterday_starts = registry
            .company
            .gas_day_start_hour
            .start_of(today.day.plus(-1));
        let before = self.run_before_yesterday(yesterday_starts)?;
        let quality = self.quality()?;
        let learning = self.book().run_learning(&run.forecast.run_id);
        let learning = learning.map_err(book_failed)?;
        let facts = self.bought()?;
        let of_run = (&run.forecast, run.breakdown.as_ref());
        let bought = Bought::new(&registry, &facts, Some(of_run));
        let facts = ForecastFacts {
            now,
            registry: &registry,
            run,
            history: &history,
            today: &today,
            bought: &bought,
            run_before_yesterday: before.as_deref(),
            quality: &quality,
            learning: &learning,
        };
        Ok(forecast_view(&facts, ForecastQuestion { horizon, by, key }))
    }

    /// The months of the latest run that has them.
    pub(in crate::serve) fn months(&self) -> Result<Arc<MonthlyOutlook>, ApiProblem> {
        let run = self.book().months_run_known_at(self.now());
        let months = match run.map_err(book_failed)? {
            Some(run) => self.book().run_months(&run.run_id).map_err(book_failed)?,
            None => None,
        };
        months.ok_or_else(|| {
            ApiProblem::not_found(
                "forecast.no_months_yet",
                "no run has been continued by months yet; the first run of a gas day is",
            )
        })
    }

    /// The same with the months that a later run of the same gas day covers.
    pub(in crate::serve) fn months_renewed(
        &self,
        of_day: &MonthlyOutlook,
    ) -> Result<Option<MonthlyOutlook>, ApiProblem> {
        let Some(run) = self.run_now()? else {
            return Ok(None);
        };
        let parts = run.breakdown.as_ref();
        Ok(parts.and_then(|parts| of_day.renewed(&run.forecast, parts)))
    }

    /// Lines of the last backtest.
    pub(in crate::serve) fn quality(&self) -> Result<Vec<QualityRow>, ApiProblem> {
        let latest = self
            .book()
            .documents(DocumentKind::Backtest, 1)
            .map_err(book_failed)?;
        Ok(latest
            .first()
            .map(|document| documents::quality_rows(&document.body))
            .unwrap_or_default())
    }
}
