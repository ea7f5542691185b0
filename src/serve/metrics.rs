//! `/metrics`: what an operator watches, in the Prometheus text format.
//!
//! Names are `qiliang_<stage>_<thing>_<unit>[_total]`; labels come from bounded sets (transport,
//! reject code, route), never from meter identifiers or messages. Each stage counts in, out and
//! rejected, so that received = accepted + duplicates + rejected can be checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry as MetricRegistry, Unit};

/// Reject codes and routes kept apart at most; further ones count as `other`.
const LABELS_MAX: usize = 64;

/// How many frames took which way since the journal was made;
/// received = accepted + duplicates + rejected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CollectCounts {
    /// Frames committed in whatever form.
    pub received: u64,
    /// Frames that added a reading.
    pub accepted: u64,
    /// Of these, the ones that contradicted what was known.
    pub conflicts: u64,
    /// Frames kept with the reason why they could not be taken.
    pub rejected: u64,
    /// Rejected frames that wait for a replay, by code.
    pub rejected_by_code: BTreeMap<String, u64>,
    /// Deliveries that were rejected, by what became of them; they sum to `rejected`.
    pub reject_fates: BTreeMap<&'static str, u64>,
    /// Bytes of the payloads of rejected frames that are kept.
    pub reject_bytes: Option<u64>,
    /// Frames that said nothing new.
    pub duplicates: u64,
    /// Age of the oldest frame that waits for its commit, s.
    pub journal_lag_s: Option<f64>,
    /// Load curves that wait to be computed again.
    pub dirty_curves: Option<u64>,
    /// Damaged places of the files that were met.
    pub damaged: u64,
    /// Parts of the book that cannot be served whole.
    pub unserved: u64,
    /// Readings that are on disk but not at their place, because that is damaged.
    pub set_aside: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// The registry of metrics and the counters of this stage. Other stages register theirs with
/// [`Metrics::register`].
pub struct Metrics {
    registry: Mutex<MetricRegistry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    streams: prometheus_client::metrics::gauge::Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty registry with this stage's own counters.
    pub fn new() -> Self {
        let mut whole = MetricRegistry::default();
        let registry = whole.sub_registry_with_prefix("qiliang");
        let requests = Family::default();
        let durations: Family<RouteLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| {
                Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
            });
        let streams = prometheus_client::metrics::gauge::Gauge::default();
        registry.register(
            "build",
            "Version of the program",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "serve_requests",
            "Requests answered, by route and class of status",
            requests.clone(),
        );
        registry.register_with_unit(
            "serve_request_duration",
            "Time from request to the head of the answer",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "serve_live_streams",
            "Clients that follow the live stream",
            streams.clone(),
        );
        Self {
            registry: Mutex::new(whole),
            requests,
            durations,
            streams,
        }
    }

    /// Adds metrics of other stages, who put them under the prefix `qiliang_<stage>`.
    pub fn register(&self, add: impl FnOnce(&mut MetricRegistry)) {
        add(&mut self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.durations
            .get_or_create(&RouteLabels {
                route: route.clone(),
            })
            .observe(took.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabels {
                route,
                status: format!("{}xx", status / 100),
            })
            .inc();
    }

    /// Counts a live stream for as long as the guard lives.
    pub(crate) fn live_stream(&self) -> StreamGuard {
        self.streams.inc();
        StreamGuard(self.streams.clone())
    }

    /// Everything registered, and these gauges of the moment, as text.
    pub fn text(&self, moment: Moment) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let mut momentary = MetricRegistry::with_prefix("qiliang");
        momentary.register_collector(Box::new(moment));
        let mut own = String::new();
        encode(
            &mut own,
            &self
                .registry
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )?;
        // Each encoding ends with the mark of the end; there must be one only.
        text.push_str(own.trim_end_matches("# EOF\n"));
        encode(&mut text, &momentary)?;
        Ok(text)
    }
}

/// Ends the count of a live stream when dropped.
#[derive(Debug)]
pub(crate) struct StreamGuard(prometheus_client::metrics::gauge::Gauge);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What is read at the moment of a scrape.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Frames.
    pub counts: CollectCounts,
    /// Meters in the registry, and those heard of within two periods.
    pub meters: Option<(u64, u64)>,
    /// Part of expected meters that report, 0 to 1.
    pub coverage_ratio: Option<f64>,
    /// Age of the latest forecast run, s.
    pub forecast_age_s: Option<f64>,
    /// Connections of the collectors, by way in.
    pub ways_in: Vec<WayIn>,
}

/// How many connections a way in should have, and has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayIn {
    /// `broker`, `listener` or `gateway`.
    pub kind: &'static str,
    /// Configured; the listener has none to expect.
    pub expected: u64,
    /// Connected now.
    pub connected: u64,
    /// Failures to connect, refusals, lost sessions since the start.
    pub failures: u64,
}

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = &self.counts;
        frames(&mut encoder, counts)?;
        gauge_family(
            &mut encoder,
            "decode_kept_rejects",
            "Rejected frames that wait for a replay, by code",
            "code",
            bounded(&counts.rejected_by_code).into_iter(),
        )?;
        gauge_family(
            &mut encoder,
            "decode_rejected_deliveries",
            "Rejected deliveries by what became of them; they sum to decode_rejected_frames",
            "fate",
            counts
                .reject_fates
                .iter()
                .map(|(fate, count)| (*fate, *count)),
        )?;
        gauge(
            &mut encoder,
            "decode_kept_rejects",
            "Payloads of rejected frames that are kept",
            Some(&Unit::Bytes),
            counts.reject_bytes.map(|n| n as f64),
        )?;
        ways_in(&mut encoder, &self.ways_in)?;
        gauge(
            &mut encoder,
            "store_journal_lag",
            "Age of the oldest frame that waits for its commit",
            Some(&Unit::Seconds),
            counts.journal_lag_s,
        )?;
        gauge(
            &mut encoder,
            "store_dirty_curves",
            "Load curves that wait to be computed again",
            None,
            counts.dirty_curves.map(|n| n as f64),
        )?;
        gauge(
            &mut encoder,
            "store_damaged_places",
            "Damaged places of the files that were met since the start; /readyz lists them",
            None,
            Some(counts.damaged as f64),
        )?;
        gauge(
            &mut encoder,
            "store_unserved_parts",
            "Parts of the book (forecast runs, documents, weather and the like) that cannot be served whole, because \
             it is damaged; /readyz names them",
            None,
            Some(counts.unserved as f64),
        )?;
        gauge(
            &mut encoder,
            "store_readings_set_aside",
            "Readings that are on disk but not at their place in the file, because that is damaged",
            None,
            Some(counts.set_aside as f64),
        )?;
        gauge(
            &mut encoder,
            "collect_meters_expected",
            "Meters in the registry",
            None,
            self.meters.map(|m| m.0 as f64),
        )?;
        gauge(
            &mut encoder,
            "collect_meters_reporting",
            "Meters heard of within two periods",
            None,
            self.meters.map(|m| m.1 as f64),
        )?;
        gauge(
            &mut encoder,
            "collect_coverage",
            "Part of expected meters that report",
            Some(&Unit::Ratios),
            self.coverage_ratio,
        )?;
        gauge(
            &mut encoder,
            "forecast_age",
            "Age of the latest forecast run",
            Some(&Unit::Seconds),
            self.forecast_age_s,
        )
    }
}

/// Frames by the way they took.
fn frames(encoder: &mut DescriptorEncoder<'_>, counts: &CollectCounts) -> Result<(), fmt::Error> {
    for (name, help, value) in [
        (
            "collect_frames",
            "Frames committed in whatever form; accepted, duplicate and rejected ones sum to it",
            counts.received,
        ),
        (
            "decode_rejected_frames",
            "Frames kept because they could not be taken",
            counts.rejected,
        ),
        (
            "store_accepted_frames",
            "Frames that added a reading",
            counts.accepted,
        ),
        (
            "store_duplicate_frames",
            "Frames that said nothing new",
            counts.duplicates,
        ),
        (
            "store_conflicting_frames",
            "Accepted frames that contradicted what was known",
            counts.conflicts,
        ),
    ] {
        let counter = ConstCounter::new(value);
        let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(metric)?;
    }
    Ok(())
}

/// Connections that should be there, that are, and that failed.
fn ways_in(encoder: &mut DescriptorEncoder<'_>, ways: &[WayIn]) -> Result<(), fmt::Error> {
    let of = |value: fn(&WayIn) -> u64| ways.iter().map(move |way| (way.kind, value(way)));
    gauge_family(
        encoder,
        "collect_connections_expected",
        "Brokers and gateways that are configured",
        "way",
        of(|way| way.expected),
    )?;
    gauge_family(
        encoder,
        "collect_connections",
        "Brokers and gateways that are connected, and meters on the listener",
        "way",
        of(|way| way.connected),
    )?;
    gauge_family(
        encoder,
        "collect_connection_failures",
        "Failed attempts, refusals and lost sessions since the start",
        "way",
        of(|way| way.failures),
    )
}

/// The codes in order, the rest of too many as `other`.
fn bounded(by_code: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let mut out = BTreeMap::new();
    for (index, (code, count)) in by_code.iter().enumerate() {
        let label = if index < LABELS_MAX {
            code.as_str()
        } else {
            "other"
        };
        *out.entry(label).or_insert(0) += count;
    }
    out
}

fn gauge_family<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl Iterator<Item = (&'a str, u64)>,
) -> Result<(), fmt::Error> {
    let kind = ConstGauge::new(0_u64).metric_type();
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (key, value) in values {
        let labels = [(label, key)];
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A gauge that has no value at the moment is left out: missing is not zero.
fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: Option<f64>,
) -> Result<(), fmt::Error> {
    let Some(value) = value else { return Ok(()) };
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
    gauge.encode(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_is_what_goes_out_and_is_rejected() {
        let metrics = Metrics::new();
        metrics.register(|registry| {
            let stage = registry.sub_registry_with_prefix("qiliang_test");
            stage.register(
                "frames",
                "Frames of another stage",
                Counter::<u64>::default(),
            );
        });
        metrics.answered("/api/v1/overview", 200, Duration::from_millis(3));
        let counts = CollectCounts {
            received: 100,
            accepted: 90,
            conflicts: 1,
            rejected: 3,
            rejected_by_code: BTreeMap::from([("decode.truncated".to_owned(), 3)]),
            reject_fates: BTreeMap::from([("dropped", 2), ("waiting", 1)]),
            reject_bytes: Some(90),
            duplicates: 7,
            journal_lag_s: None,
            dirty_curves: Some(2),
            damaged: 0,
            unserved: 2,
            set_aside: 3,
        };
        let text = metrics
            .text(Moment {
                counts,
                ..Moment::default()
            })
            .unwrap();
        for line in [
            "qiliang_collect_frames_total 100",
            "qiliang_decode_rejected_frames_total 3",
            "qiliang_decode_kept_rejects{code=\"decode.truncated\"} 3",
            "qiliang_decode_rejected_deliveries{fate=\"dropped\"} 2",
            "qiliang_decode_kept_rejects_bytes 90.0",
            "qiliang_store_accepted_frames_total 90",
            "qiliang_store_duplicate_frames_total 7",
            "qiliang_store_dirty_curves 2.0",
            "qiliang_store_damaged_places 0.0",
            "qiliang_store_unserved_parts 2.0",
            "qiliang_store_readings_set_aside 3.0",
            "qiliang_test_frames_total 0",
            "qiliang_serve_requests_total{route=\"/api/v1/overview\",status=\"2xx\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("journal_lag"), "missing is not zero\n{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn labels_stay_bounded() {
        let many: BTreeMap<String, u64> = (0..200).map(|i| (format!("code.{i:03}"), 1)).collect();
        let kept = bounded(&many);
        assert_eq!(kept.len(), LABELS_MAX + 1);
        assert_eq!(kept.values().sum::<u64>(), 200);
    }

    #[test]
    fn a_stream_counts_for_as_long_as_it_lives() {
        let metrics = Metrics::new();
        let guard = metrics.live_stream();
        assert_eq!(metrics.streams.get(), 1);
        drop(guard);
        assert_eq!(metrics.streams.get(), 0);
    }
}
