//! How fast M-Bus telegrams are decoded: `cargo bench --bench decode_mbus`.

#![expect(clippy::panic, reason = "a bench whose profile is gone cannot go on")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qiliang::decode::{DecodeContext, ProfileSet};
use qiliang::domain::id::{DeviceId, ProfileId};
use qiliang::domain::key::KeyRing;

/// Profiles and the vector of each that is measured.
const FRAMES: &[(&str, &str, &str)] = &[
    ("mbus_long_frame", "oms/gas-mbus", "OMS annex N.2.2"),
    (
        "mbus_eleven_records",
        "itron/cyble-mbus-gas",
        "a real meter",
    ),
    ("wmbus_plain", "oms/gas-wmbus", "no encryption"),
    ("wmbus_mode_5", "oms/gas-wmbus-a", "OMS annex N.2.1, mode 5"),
    ("wmbus_mode_7", "oms/gas-wmbus-a", "mode 7"),
    ("wmbus_frozen", "apator/at-wmbus-g", "a real meter"),
];

fn decode(c: &mut Criterion) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let (set, problems) = ProfileSet::load(&dir);
    assert!(problems.is_empty(), "{problems:?}");
    let device = DeviceId::from("bench");
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, id, vector) in FRAMES {
        let profile = set
            .get(&ProfileId::from(*id))
            .unwrap_or_else(|| panic!("{id} is not among the profiles"));
        let vector = profile
            .vectors()
            .iter()
            .find(|v| v.name == *vector)
            .unwrap_or_else(|| panic!("{id} has no vector `{vector}`"));
        let mut keys = KeyRing::default();
        if let Some(key) = &vector.key {
            keys.insert(device.clone(), key.clone());
        }
        let context = DecodeContext {
            received_at: vector.received_at,
            device: Some(&device),
            keys: &keys,
        };
        assert!(profile.decode(&vector.bytes, &context).is_ok(), "{name}");
        group.bench_function(*name, |b| {
            b.iter(|| black_box(profile.decode(black_box(&vector.bytes), &context)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
