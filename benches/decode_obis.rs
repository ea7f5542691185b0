//! Frames a second on one core, by the first vector of each shipped profile of these codecs.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qiliang::decode::{DecodeContext, ProfileSet};
use qiliang::domain::id::{DeviceId, ProfileId};
use qiliang::domain::key::KeyRing;

const PROFILES: [&str; 7] = [
    "generic/cjt188-gas",
    "generic/cjt188-gas-history",
    "generic/dlt645-gas",
    "generic/dsmr-p1",
    "generic/dlms-gas-hdlc",
    "generic/dlms-evc-wrapper",
    "generic/dlms-gas-ciphered",
];

fn decode(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let (set, problems) = ProfileSet::load(&folder);
    assert!(problems.is_empty(), "{problems:?}");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for id in PROFILES {
        let found = set
            .get(&ProfileId::from(id))
            .and_then(|profile| Some((profile, profile.vectors().first()?)));
        assert!(found.is_some(), "profile {id} is not shipped");
        let Some((profile, vector)) = found else {
            continue;
        };
        let device = DeviceId::from("vector");
        let mut keys = KeyRing::default();
        if let Some(key) = &vector.key {
            keys.insert(device.clone(), key.clone());
        }
        let context = DecodeContext {
            received_at: vector.received_at,
            device: Some(&device),
            keys: &keys,
        };
        group.bench_function(id, |bencher| {
            bencher.iter(|| profile.decode(black_box(&vector.bytes), &context));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
