//! The task set: the first failure, panic or early return stops the program; shutdown drains in
//! the direction of the flow.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::runtime::Runtime;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long blocking work that nobody waits for may take to end. What is acknowledged is on disk by then.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Runs a task to its end, and leaves blocking work that stands (a file on a share that hangs) behind: whoever
/// starts the program again waits for its end.
pub fn block_on<T>(runtime: Runtime, task: impl Future<Output = T>) -> T {
    let result = runtime.block_on(task);
    runtime.shutdown_timeout(LEAVE_WITHIN);
    result
}

/// Named tasks that live and stop together.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<anyhow::Result<()>>,
    names: BTreeMap<Id, String>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Stops when `stop` is cancelled or a task ends.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            names: BTreeMap::new(),
            stop,
        }
    }

    /// The token that edges watch.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a named task.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Runs until told to stop or until a task ends, then drains for `grace` at most.
    ///
    /// # Errors
    /// The first task that failed, panicked or ended early, by name; or the tasks that did not end
    /// within the grace period.
    pub async fn run(mut self, grace: Duration) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        tokio::select! {
            () = self.stop.cancelled() => {}
            Some(ended) = self.tasks.join_next_with_id() => {
                outcome = self.describe(ended, true);
            }
        }
        self.stop.cancel();
        let drained = tokio::time::timeout(grace, async {
            let mut result = Ok(());
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let one = self.describe(ended, false);
                if result.is_ok() {
                    result = one;
                }
            }
            result
        })
        .await;
        if let Ok(result) = drained {
            return outcome.and(result);
        }
        let left: Vec<_> = self.names.values().cloned().collect();
        self.tasks.abort_all();
        outcome.and(Err(anyhow!(
            "tasks did not end within {} s: {}",
            grace.as_secs(),
            left.join(", ")
        )))
    }

    fn describe(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), JoinError>,
        is_early: bool,
    ) -> anyhow::Result<()> {
        match ended {
            Ok((id, result)) => {
                let name = self.names.remove(&id).unwrap_or_default();
                match result {
                    Ok(()) if is_early && !self.stop.is_cancelled() => {
                        Err(anyhow!("task `{name}` ended although nobody asked it to"))
                    }
                    other => other.with_context(|| format!("task `{name}`")),
                }
            }
            Err(error) => {
                let name = self.names.remove(&error.id()).unwrap_or_default();
                Err(anyhow!(error)).with_context(|| format!("task `{name}` panicked"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_stops_the_rest_and_is_named() {
        let stop = CancellationToken::new();
        let mut supervisor = Supervisor::new(stop.clone());
        let watched = stop.clone();
        supervisor.spawn("edge", async move {
            watched.cancelled().await;
            Ok(())
        });
        supervisor.spawn("limb", async { Ok(()) });
        let error = supervisor.run(Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().contains("`limb`"), "{error}");
        assert!(stop.is_cancelled());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "blocking work that hangs")]
    fn blocking_work_that_hangs_does_not_keep_the_program() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let started = std::time::Instant::now();
        let error = block_on(runtime, async {
            let mut supervisor = Supervisor::new(CancellationToken::new());
            supervisor.spawn("share", async {
                tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_mins(1))).await?;
                Ok(())
            });
            supervisor.spawn("ingest", async { Err(anyhow!("the disk is gone")) });
            supervisor.run(Duration::from_millis(50)).await.unwrap_err()
        });
        assert!(format!("{error:#}").contains("`ingest`"), "{error:#}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_panic_is_reported_with_the_task_name() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("worker", async { panic!("invariant broken") });
        let error = supervisor.run(Duration::from_secs(5)).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("`worker` panicked"),
            "{error:#}"
        );
    }

    #[tokio::test]
    async fn asked_to_stop_it_ends_well() {
        let stop = CancellationToken::new();
        let mut supervisor = Supervisor::new(stop.clone());
        let watched = stop.clone();
        supervisor.spawn("edge", async move {
            watched.cancelled().await;
            Ok(())
        });
        stop.cancel();
        supervisor.run(Duration::from_secs(5)).await.unwrap();
    }
}
