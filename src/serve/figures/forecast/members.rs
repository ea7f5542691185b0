//! Sources, classes and time slots: what a total is split by.

use std::collections::BTreeSet;

use super::view::{Dimension, Label};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandForecast, DemandView};
use crate::domain::id::SourceId;
use crate::domain::registry::Registry;
use crate::serve::figures::overview::classes_of;

/// A member of a dimension and the part of the demand it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Key and names.
    pub label: Label,
    /// The part.
    pub view: DemandView,
}

/// Members of a dimension, in the order of forms.
pub fn members(registry: &Registry, by: Dimension) -> Vec<Member> {
    match by {
        Dimension::Total => Vec::new(),
        Dimension::Source => registry
            .sources
            .values()
            .map(|source| Member {
                label: Label {
                    key: source.id.to_string(),
                    name_zh: source.name.clone(),
                    name_en: source.name.clone(),
                },
                view: DemandView {
                    source: Some(source.id.clone()),
                    ..DemandView::default()
                },
            })
            .collect(),
        Dimension::Class => classes_of(registry)
            .into_iter()
            .map(|class| Member {
                label: class_label(class),
                view: DemandView {
                    class: Some(class),
                    ..DemandView::default()
                },
            })
            .collect(),
        Dimension::Slot => {
            let table = &registry.company.slots;
            table
                .0
                .iter()
                .enumerate()
                .map(|(index, slot)| Member {
                    label: Label {
                        key: slot.key.clone(),
                        name_zh: slot.name.clone(),
                        name_en: words(&slot.key),
                    },
                    view: DemandView::slot(table, index),
                })
                .collect()
        }
    }
}

/// Members of a dimension that a run has gas for or the registry knows, in the order of forms: a class
/// that so far has only a project is in no customer's row, and must not be missing from the sum.
pub fn members_of(registry: &Registry, run: &DemandForecast, by: Dimension) -> Vec<Member> {
    let mut out = members(registry, by);
    let known: Vec<String> = out.iter().map(|m| m.label.key.clone()).collect();
    let rows = &run.cube.rows;
    match by {
        Dimension::Total | Dimension::Slot => {}
        Dimension::Source => {
            let sources: BTreeSet<&SourceId> = rows.iter().map(|row| &row.source).collect();
            out.extend(
                sources
                    .into_iter()
                    .filter(|source| !known.iter().any(|key| key == source.as_str()))
                    .map(|source| Member {
                        label: Label {
                            key: source.to_string(),
                            name_zh: source.to_string(),
                            name_en: source.to_string(),
                        },
                        view: DemandView {
                            source: Some(source.clone()),
                            ..DemandView::default()
                        },
                    }),
            );
        }
        Dimension::Class => {
            let classes: BTreeSet<CustomerClass> = rows.iter().map(|row| row.class).collect();
            out = CustomerClass::ALL
                .into_iter()
                .filter(|class| {
                    classes.contains(class) || known.iter().any(|key| key == class.key())
                })
                .map(|class| Member {
                    label: class_label(class),
                    view: DemandView {
                        class: Some(class),
                        ..DemandView::default()
                    },
                })
                .collect();
        }
    }
    out
}

/// Key and names of a class.
pub fn class_label(class: CustomerClass) -> Label {
    let name_en = match class {
        CustomerClass::VehicleCng => "Vehicle CNG".to_owned(),
        CustomerClass::VehicleLng => "Vehicle LNG".to_owned(),
        CustomerClass::PublicResidential => "Public (residential price)".to_owned(),
        other => words(other.key()),
    };
    Label {
        key: class.key().to_owned(),
        name_zh: class.name_zh().to_owned(),
        name_en,
    }
}

/// `evening_peak` as "Evening peak".
fn words(key: &str) -> String {
    let mut chars = key.replace('_', " ").chars().collect::<Vec<_>>();
    if let Some(first) = chars.first_mut() {
        first.make_ascii_uppercase();
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_well() {
        assert_eq!(
            class_label(CustomerClass::DistrictHeating).name_en,
            "District heating"
        );
        assert_eq!(
            class_label(CustomerClass::VehicleCng).name_en,
            "Vehicle CNG"
        );
        assert_eq!(words("evening_peak"), "Evening peak");
    }
}
