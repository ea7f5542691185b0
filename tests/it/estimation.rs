//! The estimation ladder held against cities that nothing was set by.

#[path = "../../examples/estimation/masking.rs"]
mod masking;

use self::masking::{GAPS, all_classes, judge_all, setting_cities, verifying_cities};

/// Every step, with and without what it would rather have.
const STEPS: [&str; 14] = [
    "E1",
    "E1 by time",
    "E3",
    "E4",
    "E5",
    "E6",
    "E6 by size",
    "E7",
    "E7 by size",
    "E7, ring",
    "E7 by size, ring",
    "E7, ring, no pressure",
    "E7 by size, ring, no pressure",
    "E8",
];

#[test]
fn uncertainties_hold_in_cities_they_were_not_set_by() {
    let (set_by, cities) = (setting_cities(), verifying_cities());
    assert!(
        cities
            .iter()
            .all(|city| set_by.iter().all(|set| set.seed != city.seed))
    );
    let scores = all_classes(&judge_all(cities).unwrap());
    for ((step, gap), score) in &scores {
        let part = score.within();
        assert!((0.75..0.855).contains(&part), "{step}, {gap} h: {part}");
        let stretch = score.stretch();
        assert!((0.8..1.2).contains(&stretch), "{step}, {gap} h: {stretch}");
    }
    for step in STEPS.into_iter().chain(["E9"]) {
        for gap in GAPS.into_iter().filter(|gap| step != "E3" || *gap == 1) {
            assert!(scores.contains_key(&(step.to_owned(), gap)), "{step} {gap}");
        }
    }
    for (step, error, bias) in [
        ("E1", 0.12, 0.001),
        ("E4", 0.16, 0.03),
        ("E5", 0.16, 0.03),
        ("E6", 0.35, 0.03),
        ("E7", 0.26, 0.06),
        ("E7, ring", 0.26, 0.06),
        ("E8", 0.35, 0.03),
    ] {
        for gap in GAPS {
            let score = &scores[&(step.to_owned(), gap)];
            assert!(score.error() < error, "{step}, {gap} h: {}", score.error());
            assert!(
                score.bias().abs() < bias,
                "{step}, {gap} h: {}",
                score.bias()
            );
        }
    }
}
