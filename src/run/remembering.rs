//! How the memory of forecast runs is used, for `/metrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry as MetricRegistry, Unit};

use crate::forecast::memory::Memory;

/// Registers counters and gauges as `qiliang_forecast_memory_…`.
pub fn register(memory: &Memory, registry: &mut MetricRegistry) {
    registry
        .sub_registry_with_prefix("qiliang_forecast_memory")
        .register_collector(Box::new(MemoryFigures(memory.clone())));
}

#[derive(Debug)]
struct MemoryFigures(Memory);

impl Collector for MemoryFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.counts();
        for (name, help, value) in [
            (
                "hits",
                "Lessons that a run had from an earlier run",
                counts.hits,
            ),
            ("misses", "Lessons that a run had to learn", counts.misses),
            (
                "evictions",
                "Lessons driven out or not kept for want of room; many: raise forecast.memory_mb",
                counts.evicted,
            ),
        ] {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        for (name, help, bytes) in [
            ("used", "What the lessons kept take", counts.bytes),
            ("room", "What they may take", counts.room_bytes),
        ] {
            let gauge = ConstGauge::new(bytes as f64);
            let kind = gauge.metric_type();
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), kind)?;
            gauge.encode(metric)?;
        }
        let gauge = ConstGauge::new(counts.lessons as f64);
        let kind = gauge.metric_type();
        let metric = encoder.encode_descriptor("lessons", "Lessons kept", None, kind)?;
        gauge.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_memory_may_take_is_told_before_anything_is_learnt() {
        let mut registry = MetricRegistry::default();
        register(&Memory::with_room_for(5 << 20), &mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "qiliang_forecast_memory_hits_total 0",
            "qiliang_forecast_memory_misses_total 0",
            "qiliang_forecast_memory_evictions_total 0",
            "qiliang_forecast_memory_used_bytes 0.0",
            "qiliang_forecast_memory_room_bytes 5242880.0",
            "qiliang_forecast_memory_lessons 0.0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
