//! A compression factor by each method.

use std::hint::black_box;

use chrono::NaiveDate;
use criterion::{Criterion, criterion_group, criterion_main};
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::composition::{Component, Composition};
use qiliang::domain::source::{GasQuality, Zone};
use qiliang::validate::convert::interval::{MeteredState, ZoneConversion};
use qiliang::validate::convert::{GasState, Nx19Gas, SgergGas, ZMethod};
use qiliang::{domain::quantity::ReferenceConditions, validate::convert::Converter};

fn methods() -> Option<[(&'static str, ZMethod); 4]> {
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
        ("detail", ZMethod::Detail(composition)),
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
    // An interval of a curve: K of the rounded state is kept.
    let zone = Zone {
        id: "z".into(),
        name: "z".into(),
        weather_station: "s".into(),
        atmosphere_kpa: 101.0,
        pipe_volume_m3: 0.0,
    };
    let quality = GasQuality {
        zone: "z".into(),
        from_on: NaiveDate::default(),
        calorific_value_mjm3: 40.66,
        relative_density: 0.581,
        co2: 0.006,
        h2: 0.0,
        composition: None,
    };
    let conversion = ZoneConversion::new(
        Some(&zone),
        &[quality],
        GasDayClock::default(),
        ReferenceConditions::CHINA,
    );
    let at = GasDayClock::default().start_of(GasDay(NaiveDate::default()));
    let mut step = 0_u32;
    group.bench_function("interval", |b| {
        b.iter(|| {
            step = (step + 1) % 10_000;
            let state = MeteredState {
                pressure_kpa: 300.0 + f64::from(step % 97) / 10.0,
                is_gauge: true,
                temperature_c: f64::from(step) / 500.0,
            };
            conversion.factor(at, black_box(state))
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
