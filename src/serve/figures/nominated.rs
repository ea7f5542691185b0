//! What was nominated for a gas day (日指定), and how what the gates measured is split over its sources.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::id::SourceId;
use crate::domain::quantity::{StdVolume, round_to_total};
use crate::domain::registry::Registry;
use crate::serve::documents::{text, volume, volume_of};

/// What was nominated for a gas day, whole m³.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NominatedDay {
    /// Nominated by source.
    pub nominated: BTreeMap<SourceId, i64>,
    /// Suggested by source.
    pub suggested: BTreeMap<SourceId, i64>,
    /// Nominated by source and hour of the gas day; empty unless the nomination has all hours.
    pub hours: BTreeMap<SourceId, [i64; 24]>,
}

impl NominatedDay {
    /// What a nomination says; none if it has no lines.
    ///
    /// A line counts as nominated by its `changed_m3`, else its `nominated_m3`; as long as both are null by
    /// what is suggested.
    pub fn of_document(registry: &Registry, body: &Value) -> Option<Self> {
        let lines = ["lines", "contracts", "rows"]
            .into_iter()
            .find_map(|name| body.get(name).and_then(Value::as_array))?;
        let mut day = Self::default();
        let mut has_hours = true;
        for line in lines {
            let source = text(line, "source").map(Into::into).or_else(|| {
                let contract = text(line, "contract").or_else(|| text(line, "contract_id"))?;
                let found = registry
                    .contracts
                    .iter()
                    .find(|c| c.id.as_str() == contract);
                found.map(|c| c.source.clone())
            });
            let Some(source) = source else { continue };
            let suggested = volume_of(line, &["suggested_m3"]).map(StdVolume::round_m3);
            let nominated = volume_of(line, &["changed_m3"])
                .or_else(|| volume_of(line, &["nominated_m3"]))
                .map(StdVolume::round_m3)
                .or(suggested);
            if let Some(m3) = nominated {
                *day.nominated.entry(source.clone()).or_insert(0) += m3;
            }
            if let Some(m3) = suggested {
                *day.suggested.entry(source.clone()).or_insert(0) += m3;
            }
            let Some(of_line) = line_hours(line) else {
                has_hours = false;
                continue;
            };
            let sums = day.hours.entry(source).or_insert([0; 24]);
            for (sum, m3) in sums.iter_mut().zip(of_line) {
                *sum += m3;
            }
        }
        if !has_hours {
            day.hours.clear();
        }
        (!day.nominated.is_empty() || !day.suggested.is_empty()).then_some(day)
    }

    /// Nominated over all sources, m³; none if nothing is.
    pub fn total_m3(&self) -> Option<i64> {
        (!self.nominated.is_empty()).then(|| self.nominated.values().sum())
    }

    /// Nominated in an hour over all sources, m³; none where the nomination has no hours.
    pub fn hour_m3(&self, hour: usize) -> Option<i64> {
        let of_source = |hours: &[i64; 24]| hours.get(hour).copied();
        let mut of_hour = self.hours.values().map(of_source).peekable();
        of_hour.peek()?;
        of_hour.sum()
    }

    /// Splits volumes of hours over the sources in the proportion in which each hour is nominated, of an hour
    /// without nomination as the day is; whole m³ that sum to the rounded total. None if nothing is nominated.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "city volumes are far below 2^53 m³"
    )]
    pub fn split(
        &self,
        hours: impl IntoIterator<Item = (usize, f64)>,
    ) -> Option<BTreeMap<SourceId, i64>> {
        let of_day = self.total_m3().filter(|m3| *m3 > 0)? as f64;
        let mut total = 0.0;
        let mut parts = vec![0.0; self.nominated.len()];
        for (hour, m3) in hours {
            total += m3;
            let of_hour = self.hour_m3(hour).filter(|of_hour| *of_hour > 0);
            for ((source, nominated), part) in self.nominated.iter().zip(&mut parts) {
                let ratio = match of_hour {
                    Some(of_hour) => {
                        let of_source = self.hours.get(source).and_then(|h| h.get(hour));
                        of_source.copied().unwrap_or(0) as f64 / of_hour as f64
                    }
                    None => *nominated as f64 / of_day,
                };
                *part += ratio * m3;
            }
        }
        let whole = round_to_total(&parts, total.round() as i64);
        Some(self.nominated.keys().cloned().zip(whole).collect())
    }

    /// Splits a whole day over the sources as it was nominated.
    pub fn split_day(&self, m3: i64) -> Option<BTreeMap<SourceId, i64>> {
        let of_day = self.total_m3().filter(|m3| *m3 > 0)? as f64;
        let parts = self.nominated.values();
        let parts: Vec<f64> = parts.map(|of| *of as f64 / of_day * m3 as f64).collect();
        let whole = round_to_total(&parts, m3);
        Some(self.nominated.keys().cloned().zip(whole).collect())
    }
}

fn line_hours(line: &Value) -> Option<[i64; 24]> {
    let values = ["hourly_m3", "hours_m3", "hours"]
        .into_iter()
        .find_map(|name| line.get(name).and_then(Value::as_array))?;
    let hours: Vec<i64> = values
        .iter()
        .map(|v| volume(v).map(StdVolume::round_m3))
        .collect::<Option<_>>()?;
    hours.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::serve::figures::fixture;

    #[test]
    fn a_nomination_sums_its_lines_by_source() {
        let registry = fixture::registry();
        let body = json!({ "lines": [
            { "contract": "HT-1", "suggested_m3": 700, "nominated_m3": "650.0000", "hourly_m3": vec![1; 24] },
            { "source": "pipe", "suggested_m3": 50, "nominated_m3": null, "hourly_m3": vec![2; 24] },
            { "source": "lng", "suggested_m3": 30, "hourly_m3": vec![3; 24] },
        ]});
        let day = NominatedDay::of_document(&registry, &body).unwrap();
        assert_eq!(day.nominated.get("pipe"), Some(&700));
        assert_eq!(day.nominated.get("lng"), Some(&30));
        assert_eq!(day.suggested.get("pipe"), Some(&750));
        let all: Option<i64> = (0..24).map(|h| day.hour_m3(h)).sum();
        assert_eq!(all, Some(24 * 6));
        let of = |body: &Value| NominatedDay::of_document(&registry, body);
        assert_eq!(of(&json!({})), None);
        assert_eq!(of(&json!({ "lines": [] })), None);
        // A line without hours: there is no plan by hour of the whole.
        let body = json!({ "lines": [
            { "source": "pipe", "nominated_m3": 50, "hours_m3": vec![2; 24] },
            { "source": "lng", "nominated_m3": 30 },
        ]});
        assert_eq!(of(&body).unwrap().hour_m3(0), None);
    }

    #[test]
    fn an_hour_is_split_as_it_was_nominated_and_the_parts_add_up() {
        let mut lng = [0; 24];
        lng[2] = 30;
        let day = NominatedDay {
            nominated: BTreeMap::from([("lng".into(), 30), ("pipe".into(), 240)]),
            hours: BTreeMap::from([("lng".into(), lng), ("pipe".into(), [10; 24])]),
            ..NominatedDay::default()
        };
        let split = |hours: Vec<(usize, f64)>| day.split(hours).unwrap();
        assert_eq!(split(vec![(0, 100.0), (1, 7.0)])["lng"], 0);
        // 30 of the 40 m³ of hour 2 are LNG: three quarters of whatever passed.
        let both = split(vec![(1, 10.0), (2, 80.2)]);
        assert_eq!((both["lng"], both["pipe"]), (60, 30));
        assert_eq!(day.split_day(90).unwrap()["lng"], 10);
        assert_eq!(NominatedDay::default().split_day(90), None);
    }
}
