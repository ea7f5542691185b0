use tempfile::TempDir;

use super::*;
use crate::domain::filing::FiledPlan;
use crate::domain::quantity::StdVolume;
use crate::plan::declaration::AdoptedBasis;
use crate::run::testing::app_of;
use crate::serve::figures::fixture;

#[test]
fn a_new_works_that_only_filed_is_adopted_as_the_city_holds_it() {
    let dir = TempDir::new().unwrap();
    let mut registry = fixture::registry();
    let month: GasMonth = "2026-12".parse().unwrap();
    let now = fixture::at("2026-11-21T09:00:00+08:00");
    let plan = |day: GasDay| FiledPlan {
        customer: "C1".into(),
        day,
        volume: StdVolume::from_m3(30_000),
        available_at: now,
    };
    registry.filed_plans = month.days().into_iter().map(plan).collect();
    let (app, reload) = app_of(dir.path(), registry, now);
    drop(reload);
    let lines = large_consumers(&app, month).unwrap();
    let line = lines.iter().find(|line| line.customer == "C1".into());
    let line = line.unwrap();
    assert_eq!(line.filed_m3, Some(930_000));
    assert_eq!(line.forecast, None);
    assert_eq!(
        (line.adopted_m3, line.basis),
        (930_000, AdoptedBasis::CustomerPlan)
    );
}
