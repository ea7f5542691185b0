//! How fast frames are decoded, profile by profile: `cargo bench --bench decode`.
#![expect(
    clippy::panic,
    reason = "criterion's macros make undocumented items; a profile that is gone ends the run"
)]

use std::hint::black_box;
use std::path::Path;

use chrono::DateTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qiliang::decode::vector::Expected;
use qiliang::decode::{DecodeContext, ProfileSet};
use qiliang::domain::id::ProfileId;

/// Profiles and the vector of each that is measured.
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
    (
        "chirpstack_layout",
        "chirpstack/v4-example",
        "reading; the network server's time of arrival is the time of the values",
    ),
    ("cjt188", "generic/cjt188-gas", ""),
];

fn decode(c: &mut Criterion) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let (set, problems) = ProfileSet::load(&dir);
    assert!(problems.is_empty(), "{problems:?}");
    let mut group = c.benchmark_group("decode");
    for (name, id, vector) in FRAMES {
        let profile = set
            .get(&ProfileId::from(*id))
            .unwrap_or_else(|| panic!("{id} is not among the profiles"));
        let vector = profile
            .vectors()
            .iter()
            .find(|v| {
                matches!(v.expected, Expected::Decoded(_))
                    && (vector.is_empty() || v.name.starts_with(vector))
            })
            .unwrap_or_else(|| panic!("{id} has no such vector"));
        let context = DecodeContext::at(DateTime::UNIX_EPOCH);
        group.throughput(Throughput::Elements(1));
        group.bench_function(*name, |b| {
            b.iter(|| black_box(profile.decode(black_box(&vector.bytes), &context)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
