//! How fast frames are decoded on one core, vector by vector: `cargo bench --bench decode`.
#![expect(clippy::panic, reason = "a bench whose profile is gone cannot go on")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qiliang::decode::{DecodeContext, ProfileSet};
use qiliang::domain::id::{DeviceId, ProfileId};
use qiliang::domain::key::KeyRing;

/// Name of the bench, profile, and how the name of the vector that is measured begins.
const FRAMES: &[(&str, &str, &str)] = &[
    ("json_push", "qiliang/json-push", "reading of a corrector"),
    (
        "json_push_24_hours",
        "qiliang/json-push",
        "frozen day with an hour missing",
    ),
    (
        "cbor_push",
        "qiliang/cbor-push",
        "the published example, value for value",
    ),
    (
        "layout",
        "qianwei/10e1-corrector",
        "report with the previous day",
    ),
    ("chirpstack_layout", "chirpstack/v4-example", "reading; "),
    ("cjt188", "generic/cjt188-gas", ""),
    ("cjt188_history", "generic/cjt188-gas-history", ""),
    ("dlt645", "generic/dlt645-gas", ""),
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
    ("dsmr_p1", "generic/dsmr-p1", ""),
    ("dlms_hdlc", "generic/dlms-gas-hdlc", ""),
    ("dlms_wrapper", "generic/dlms-evc-wrapper", ""),
    ("dlms_ciphered", "generic/dlms-gas-ciphered", ""),
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
            .find(|v| v.is_taken() && v.name.starts_with(vector))
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
