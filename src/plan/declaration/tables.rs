//! Sheets 2, 3 and 4: the same cells summed by day, class and time slot.

use std::collections::BTreeMap;

use crate::domain::calendar::DayType;
use crate::domain::customer::{CustomerClass, SaleMode};
use crate::domain::quantity::round_to_total;
use crate::plan::declaration::{
    CarriedLine, ClassLine, DayLine, DeclareInput, HourLine, SlotLine, SlotTables,
};
use crate::plan::supply::{Supply, band_of};

fn type_index(day_type: DayType) -> usize {
    match day_type {
        DayType::Workday => 0,
        DayType::Weekend => 1,
        DayType::Holiday => 2,
    }
}

/// Sheet 2: `declared[contract][day]`.
pub(super) fn days(
    input: &DeclareInput<'_>,
    supply: &Supply<'_>,
    declared: &[Vec<i64>],
) -> Vec<DayLine> {
    supply
        .days
        .iter()
        .enumerate()
        .map(|(at, day)| DayLine {
            day: *day,
            day_type: input.calendar.day_type(day.0),
            holiday: input.calendar.holiday_name(day.0).map(String::from),
            is_make_up_workday: input.calendar.is_make_up_workday(day.0),
            temperature_c: input.temperatures.get(day).copied(),
            declared_m3: declared
                .iter()
                .map(|of_contract| of_contract.get(at).copied().unwrap_or(0))
                .collect(),
            forecast: band_of(supply.sum_m3(|cell| cell.day == at), supply.day_draws(at)).into(),
        })
        .collect()
}

/// Sheet 3, every class in the order of the form.
pub(super) fn structure(
    input: &DeclareInput<'_>,
    supply: &Supply<'_>,
    declared_m3: i64,
) -> Vec<ClassLine> {
    let draws_of = |class: CustomerClass| {
        if class == CustomerClass::Unaccounted {
            supply.loss_draws()
        } else {
            supply.class_draws(None, class)
        }
    };
    let mut lines: Vec<ClassLine> = CustomerClass::ALL
        .into_iter()
        .map(|class| {
            let customers = input
                .registry
                .customers
                .values()
                .filter(|c| c.class == class);
            let ranks: Vec<u8> = customers.clone().map(|c| c.protection_rank).collect();
            ClassLine {
                class,
                customers: customers.map(|c| u64::from(c.households.max(1))).sum(),
                last_month_m3: input.history.last_month_by_class.get(&class).copied(),
                last_year_m3: input.history.last_year_by_class.get(&class).copied(),
                forecast: band_of(supply.sum_m3(|cell| cell.class == class), draws_of(class))
                    .into(),
                declared_m3: 0,
                protection_ranks: ranks.iter().min().copied().zip(ranks.iter().max().copied()),
                interruptible_m3: input
                    .large_consumers
                    .iter()
                    .filter(|c| c.class == class && c.sale_mode == SaleMode::Direct)
                    .map(|c| c.interruptible_m3)
                    .sum(),
            }
        })
        .collect();
    let shape: Vec<f64> = lines.iter().map(|l| l.forecast.p50_m3 as f64).collect();
    for (line, declared) in lines.iter_mut().zip(round_to_total(&shape, declared_m3)) {
        line.declared_m3 = declared;
    }
    lines
}

/// What is carried for others, class by class; nothing of a class without it.
pub(super) fn carried(input: &DeclareInput<'_>, supply: &Supply<'_>) -> Vec<CarriedLine> {
    let of_class = |class: CustomerClass| {
        let cells = || {
            supply
                .carried
                .iter()
                .filter(move |cell| cell.class == class)
        };
        let mut days: BTreeMap<usize, i64> = BTreeMap::new();
        let mut hours: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for cell in cells() {
            *days.entry(cell.day).or_default() += cell.day_m3();
            for (hour, m3) in cell.hours_m3.iter().enumerate() {
                *hours.entry((cell.day, hour)).or_default() += m3;
            }
        }
        let customers = input.registry.customers.values();
        let customers = customers.filter(|c| c.class == class && !c.is_bought_for());
        CarriedLine {
            class,
            customers: customers.map(|c| u64::from(c.households.max(1))).sum(),
            p50_m3: days.values().sum(),
            day_max_m3: days.into_values().max().unwrap_or(0),
            hour_max_m3h: hours.into_values().max().unwrap_or(0),
        }
    };
    let lines = CustomerClass::ALL.into_iter().map(of_class);
    lines.filter(|line| line.p50_m3 > 0).collect()
}

/// Sheet 4. The hours of a gas day count for the kind of day on which it starts.
pub(super) fn slots(input: &DeclareInput<'_>, supply: &Supply<'_>, declared_m3: i64) -> SlotTables {
    let types: Vec<usize> = supply
        .days
        .iter()
        .map(|day| type_index(input.calendar.day_type(day.0)))
        .collect();
    let mut day_counts = [0_u32; 3];
    for of_type in &types {
        if let Some(count) = day_counts.get_mut(*of_type) {
            *count += 1;
        }
    }
    let mut by_hour: BTreeMap<u32, [i64; 3]> = BTreeMap::new();
    for cell in &supply.cells {
        let Some(of_type) = types.get(cell.day) else {
            continue;
        };
        for (index, value) in cell.hours_m3.iter().enumerate() {
            let sums = by_hour
                .entry(supply.clock.civil_hour(index))
                .or_insert([0; 3]);
            if let Some(sum) = sums.get_mut(*of_type) {
                *sum += value;
            }
        }
    }
    let hours: Vec<HourLine> = (0..24)
        .map(|index| supply.clock.civil_hour(index))
        .map(|civil_hour| HourLine {
            civil_hour,
            p50_m3: by_hour.get(&civil_hour).copied().unwrap_or([0; 3]),
        })
        .collect();
    let table = &input.registry.company.slots;
    let mut slots: Vec<SlotLine> = table
        .0
        .iter()
        .enumerate()
        .map(|(at, slot)| {
            let mut p50_m3 = [0; 3];
            let mut peak: [Option<(i64, u32)>; 3] = [None; 3];
            for (hour, values) in &by_hour {
                if table.index_of(*hour) != at {
                    continue;
                }
                for (of_type, value) in values.iter().enumerate() {
                    if let Some(sum) = p50_m3.get_mut(of_type) {
                        *sum += value;
                    }
                    let has_days = day_counts.get(of_type).is_some_and(|c| *c > 0);
                    if let Some(best) = peak.get_mut(of_type)
                        && has_days
                        && best.is_none_or(|(most, _)| *value > most)
                    {
                        *best = Some((*value, *hour));
                    }
                }
            }
            SlotLine {
                key: slot.key.clone(),
                name: slot.name.clone(),
                level: slot.level,
                from_hour: slot.from_hour,
                to_hour: slot.to_hour,
                p50_m3,
                peak_hour: peak.map(|best| best.map(|(_, hour)| hour)),
                declared_m3: 0,
            }
        })
        .collect();
    let shape: Vec<f64> = slots
        .iter()
        .map(|slot| slot.p50_m3.iter().sum::<i64>() as f64)
        .collect();
    for (slot, declared) in slots.iter_mut().zip(round_to_total(&shape, declared_m3)) {
        slot.declared_m3 = declared;
    }
    SlotTables {
        day_counts,
        slots,
        hours,
    }
}
