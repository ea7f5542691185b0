//! A compression factor by each method.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use qiliang::validate::convert::{Component, Composition, GasState, Nx19Gas, SgergGas, ZMethod};
use qiliang::{domain::quantity::ReferenceConditions, validate::convert::Converter};

fn methods() -> Option<[(&'static str, ZMethod); 5]> {
    let composition = Composition::new(&[
        (Component::Methane, 0.965),
        (Component::Nitrogen, 0.003),
        (Component::CarbonDioxide, 0.006),
        (Component::Ethane, 0.026),
    ])
    .ok()?;
    let sgerg = SgergGas {
        calorific_value_mjm3: 40.66,
        relative_density: 0.581,
        co2: 0.006,
        h2: 0.0,
    };
    let nx19 = Nx19Gas {
        relative_density: 0.581,
        co2: 0.006,
        n2: 0.003,
    };
    Some([
        ("ideal", ZMethod::Ideal),
        ("nx19", ZMethod::Nx19(nx19)),
        ("sgerg88", ZMethod::Sgerg88(sgerg.solve().ok()?)),
        ("detail", ZMethod::Detail(composition.clone())),
        ("gerg2008", ZMethod::Gerg2008(composition)),
    ])
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("convert");
    for (name, method) in methods().into_iter().flatten() {
        let Ok(converter) = Converter::new(method, ReferenceConditions::CHINA) else {
            continue;
        };
        let state = GasState::celsius(501.325, 5.0);
        group.bench_function(name, |b| b.iter(|| converter.convert(black_box(state))));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
