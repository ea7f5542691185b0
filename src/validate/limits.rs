//! What counts as unusual: the limits of the day rules by class and size, each from a date on.
//!
//! A table is an ordered list of sets. A set says from which gas day, for which classes and sizes,
//! and which limits it changes; the later of two sets that speak of one limit wins. The built-in
//! table is `config/rules.toml`.

use serde::Deserialize;

use crate::domain::calendar::GasDay;
use crate::domain::customer::{Customer, CustomerClass, SizeClass};

/// The table that is built in.
const BUILT_IN: &str = include_str!("../../config/rules.toml");

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $default:literal in $least:literal ..= $greatest:literal,)*) => {
        /// The limits that hold for one meter on one gas day.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: f64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// Name and value of each.
            pub fn named(&self) -> Vec<(&'static str, f64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        /// A set of changed limits, one `[[set]]` of the table.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct LimitSet {
            /// First gas day it holds on; always, if not given.
            from_day: Option<GasDay>,
            /// Classes it holds for; all, if empty.
            #[serde(default)]
            classes: Vec<CustomerClass>,
            /// Sizes it holds for; all, if empty.
            #[serde(default)]
            sizes: Vec<SizeClass>,
            $($name: Option<f64>,)*
        }

        impl LimitSet {
            fn apply(&self, limits: &mut Limits) {
                $(if let Some(value) = self.$name { limits.$name = value; })*
            }

            fn wrong(&self) -> Option<String> {
                $(if let Some(value) = self.$name
                    && !($least..=$greatest).contains(&value)
                {
                    return Some(format!(
                        concat!(stringify!($name), " is {}, expected ", stringify!($least), " to ", stringify!($greatest)),
                        value
                    ));
                })*
                None
            }
        }
    };
}

limits! {
    /// V07: (greatest hour − third greatest) / third greatest above which an hour may be a spike.
    v07_ratio = 3.0 in 0.1..=100.0,
    /// V07: deviations (1.4826 · MAD) from the median beyond which it is one.
    v07_deviations = 3.0 in 1.0..=20.0,
    /// V07: hours with less than this part of Qmax are never spikes.
    v07_floor = 0.05 in 0.0..=1.0,
    /// V08: least ratio of a day to the day before.
    v08_low = 0.667 in 0.0..=1.0,
    /// V08: greatest ratio of a day to the day before.
    v08_high = 1.5 in 1.0..=100.0,
    /// V08, V09: days of less than this volume, m³, on both sides are not compared.
    day_floor_m3 = 50.0 in 0.0..=1e6,
    /// V09: least ratio of a day to the average of like days.
    v09_low = 0.2 in 0.0..=1.0,
    /// V09: greatest ratio of a day to the average of like days.
    v09_high = 2.5 in 1.0..=100.0,
    /// V10: working days in a row without use.
    v10_days = 3.0 in 1.0..=20.0,
    /// V12: least hourly volume, m³, that for 24 hours looks like a leak; 0 turns the rule off.
    v12_flow_m3h = 0.0 in 0.0..=1e5,
    /// V17: part by which a reported factor may differ from the one computed.
    v17_tolerance = 0.005 in 0.000_1..=0.5,
    /// V22: gas days in a row of which half was estimated.
    v22_days = 3.0 in 1.0..=31.0,
    /// V22: part of the month's hours that were estimated.
    v22_share = 0.1 in 0.0..=1.0,
    /// V23: part of the gas that flows below the smallest flow of the meter.
    v23_share = 0.3 in 0.0..=1.0,
    /// V24: weakest signal, dBm.
    v24_rsrp_dbm = -115.0 in -150.0..=-40.0,
}

/// Why a table of limits cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// It is no TOML of this form.
    #[error("the table of rule limits cannot be read: {0}")]
    Form(String),
    /// A limit outside its range.
    #[error("set {number} of the table of rule limits: {what}")]
    Range {
        /// Which set, from 1.
        number: usize,
        /// Limit, value and range.
        what: String,
    },
}

/// The limits by class, size and day.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitTable {
    sets: Vec<LimitSet>,
    text: String,
}

impl Default for LimitTable {
    fn default() -> Self {
        // A test reads the same text, so an unreadable one never leaves the house.
        Self::parse(BUILT_IN).unwrap_or(Self {
            sets: Vec::new(),
            text: String::new(),
        })
    }
}

impl LimitTable {
    /// Reads a table.
    ///
    /// # Errors
    /// TOML of another form, an unknown limit, class or size, or a limit outside its range.
    pub fn parse(text: &str) -> Result<Self, LimitsError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            set: Vec<LimitSet>,
        }
        let file: File =
            toml::from_str(text).map_err(|error| LimitsError::Form(error.to_string()))?;
        for (index, set) in file.set.iter().enumerate() {
            if let Some(what) = set.wrong() {
                let number = index + 1;
                return Err(LimitsError::Range { number, what });
            }
        }
        Ok(Self {
            sets: file.set,
            text: text.to_owned(),
        })
    }

    /// The text it was read from: curves are judged again when it changes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The limits for a customer's meter on a gas day; those for everyone without a customer.
    pub fn of(&self, customer: Option<&Customer>, day: GasDay) -> Limits {
        self.of_class(customer.map(|c| (c.class, c.size_class())), day)
    }

    /// The limits for a class and size on a gas day.
    pub fn of_class(&self, who: Option<(CustomerClass, SizeClass)>, day: GasDay) -> Limits {
        let mut limits = Limits::default();
        for set in &self.sets {
            let is_class = set.classes.is_empty()
                || who.is_some_and(|(class, _)| set.classes.contains(&class));
            let is_size =
                set.sizes.is_empty() || who.is_some_and(|(_, size)| set.sizes.contains(&size));
            if is_class && is_size && set.from_day.is_none_or(|from| from <= day) {
                set.apply(&mut limits);
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> GasDay {
        text.parse().unwrap()
    }

    #[test]
    fn the_built_in_table_is_read() {
        let table = LimitTable::parse(BUILT_IN).unwrap();
        assert_eq!(LimitTable::default(), table);
        let of = |class, size| table.of_class(Some((class, size)), day("2026-11-21"));
        let large = of(CustomerClass::Industrial, SizeClass::Large);
        assert!((large.v07_ratio - 1.0).abs() < 1e-12);
        let home = of(CustomerClass::ResidentialCooking, SizeClass::Micro);
        assert!((home.v12_flow_m3h - 0.001).abs() < 1e-12);
        assert!((home.v07_ratio - 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_limit_holds_from_its_day_and_the_later_set_wins() {
        let text = "[[set]]\nv08_high = 1.6\n[[set]]\nfrom_day = \"2026-11-15\"\n\
                    classes = [\"industrial\"]\nv08_high = 1.8\n";
        let table = LimitTable::parse(text).unwrap();
        let who = Some((CustomerClass::Industrial, SizeClass::Large));
        let high = |who, at| table.of_class(who, day(at)).v08_high;
        assert!((high(who, "2026-11-14") - 1.6).abs() < 1e-12);
        assert!((high(who, "2026-11-15") - 1.8).abs() < 1e-12);
        assert!((high(None, "2026-11-15") - 1.6).abs() < 1e-12);
    }

    #[test]
    fn a_limit_outside_its_range_is_named() {
        let error = LimitTable::parse("[[set]]\n[[set]]\nv08_low = 1.5\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "set 2 of the table of rule limits: v08_low is 1.5, expected 0.0 to 1.0"
        );
        assert!(matches!(
            LimitTable::parse("[[set]]\nv99 = 1\n"),
            Err(LimitsError::Form(_))
        ));
    }
}
