//! What counts as unusual: the limits of the day rules by class and size, each from a date on.
//!
//! A table is an ordered list of sets. A set says from which gas day, for which classes and sizes,
//! and which limits it changes; the later of two sets that speak of one limit wins. The built-in
//! table is `config/rules.toml`; a company's own table follows it.

use serde::Deserialize;
use toml::Spanned;

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
            $($name: Option<Spanned<f64>>,)*
        }

        impl LimitSet {
            fn apply(&self, limits: &mut Limits) {
                $(if let Some(value) = &self.$name { limits.$name = *value.get_ref(); })*
            }

            /// Where and what is outside its range.
            fn wrong(&self) -> Vec<(usize, String)> {
                let mut wrong = Vec::new();
                $(if let Some(value) = &self.$name
                    && !($least..=$greatest).contains(value.get_ref())
                {
                    wrong.push((value.span().start, format!(
                        concat!(stringify!($name), " is {}, expected ", stringify!($least), " to ", stringify!($greatest)),
                        value.get_ref()
                    )));
                })*
                wrong
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
    /// V12: so many times the usual least hour pass as well: the third greatest of the four weeks before.
    v12_usual = 0.0 in 0.0..=10.0,
    /// V14: part of the register's growth by which a sum may differ from it.
    v14_share = 0.005 in 0.000_1..=0.5,
    /// V15: deviations (1.4826 · MAD) of the balance from its usual value that pass.
    v15_sigmas = 3.0 in 1.0..=20.0,
    /// V15: change of the balance that always passes, a part of what came in.
    v15_floor = 0.01 in 0.000_1..=0.5,
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

/// What is wrong with a table of limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct LimitsError {
    /// Line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// The limits by class, size and day.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitTable {
    sets: Vec<LimitSet>,
}

impl Default for LimitTable {
    /// The table that is built in.
    fn default() -> Self {
        // A test reads the same text, so an unreadable one never leaves the house.
        let sets = parse(BUILT_IN).unwrap_or_default();
        Self { sets }
    }
}

fn parse(text: &str) -> Result<Vec<LimitSet>, Vec<LimitsError>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        set: Vec<LimitSet>,
    }
    let line_of = |byte: usize| text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1;
    let file: File = toml::from_str(text).map_err(|error| {
        vec![LimitsError {
            line: error.span().map(|span| line_of(span.start)),
            what: error.message().to_owned(),
        }]
    })?;
    let wrong: Vec<LimitsError> = file
        .set
        .iter()
        .flat_map(LimitSet::wrong)
        .map(|(byte, what)| LimitsError {
            line: Some(line_of(byte)),
            what,
        })
        .collect();
    if wrong.is_empty() {
        Ok(file.set)
    } else {
        Err(wrong)
    }
}

impl LimitTable {
    /// The built-in table, followed by the sets of another: where both speak of a limit, the other
    /// wins.
    ///
    /// # Errors
    /// TOML of another form, an unknown limit, class or size, or limits outside their range: all of
    /// those.
    pub fn with(text: &str) -> Result<Self, Vec<LimitsError>> {
        let mut table = Self::default();
        table.sets.extend(parse(text)?);
        Ok(table)
    }

    /// Gas days from which on the table says something else of a class and size, in order of the sets.
    pub fn changes_of(
        &self,
        who: Option<(CustomerClass, SizeClass)>,
    ) -> impl Iterator<Item = GasDay> + '_ {
        self.sets
            .iter()
            .filter(move |set| set.is_of(who))
            .filter_map(|set| set.from_day)
    }

    /// The limits for a customer's meter on a gas day; those for everyone without a customer.
    pub fn of(&self, customer: Option<&Customer>, day: GasDay) -> Limits {
        self.of_class(customer.map(|c| (c.class, c.size_class())), day)
    }

    /// The limits for a class and size on a gas day.
    pub fn of_class(&self, who: Option<(CustomerClass, SizeClass)>, day: GasDay) -> Limits {
        let mut limits = Limits::default();
        for set in &self.sets {
            if set.is_of(who) && set.from_day.is_none_or(|from| from <= day) {
                set.apply(&mut limits);
            }
        }
        limits
    }
}

impl LimitSet {
    fn is_of(&self, who: Option<(CustomerClass, SizeClass)>) -> bool {
        let is_class =
            self.classes.is_empty() || who.is_some_and(|(class, _)| self.classes.contains(&class));
        let is_size =
            self.sizes.is_empty() || who.is_some_and(|(_, size)| self.sizes.contains(&size));
        is_class && is_size
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
        assert!(!parse(BUILT_IN).unwrap().is_empty());
        let table = LimitTable::default();
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
        let table = LimitTable::with(text).unwrap();
        let who = Some((CustomerClass::Industrial, SizeClass::Large));
        let high = |who, at| table.of_class(who, day(at)).v08_high;
        assert!((high(who, "2026-11-14") - 1.6).abs() < 1e-12);
        assert!((high(who, "2026-11-15") - 1.8).abs() < 1e-12);
        assert!((high(None, "2026-11-15") - 1.6).abs() < 1e-12);
        // What the table does not speak of stays as it is built in.
        let ratio = table.of_class(who, day("2026-11-15")).v07_ratio;
        assert!((ratio - 1.0).abs() < 1e-12);
    }

    #[test]
    fn every_limit_outside_its_range_is_named_with_its_line() {
        let text = "[[set]]\n[[set]]\n# a ratio\nv08_low = 1.5\nv10_days = 0\n";
        let wrong = LimitTable::with(text).unwrap_err();
        let wrong: Vec<_> = wrong.iter().map(|w| (w.line, w.what.as_str())).collect();
        assert_eq!(
            wrong,
            [
                (Some(4), "v08_low is 1.5, expected 0.0 to 1.0"),
                (Some(5), "v10_days is 0, expected 1.0 to 20.0"),
            ]
        );
    }

    #[test]
    fn an_unknown_name_is_told_with_its_line() {
        for (text, line, what) in [
            ("[[set]]\nv99 = 1\n", 2, "v99"),
            ("[[set]]\nclasses = [\"none\"]\n", 2, "none"),
            ("[[set]]\nfrom_day = \"2026-02-30\"\n", 2, ""),
            ("[[sets]]\n", 1, "sets"),
        ] {
            let wrong = LimitTable::with(text).unwrap_err();
            assert_eq!(wrong.len(), 1);
            assert_eq!(wrong[0].line, Some(line), "{text}: {}", wrong[0]);
            assert!(wrong[0].what.contains(what), "{}", wrong[0]);
        }
    }

    #[test]
    fn only_whom_a_set_speaks_of_sees_a_change() {
        let text =
            "[[set]]\nfrom_day = \"2026-11-15\"\nclasses = [\"industrial\"]\nv08_high = 1.8\n";
        let (before, after) = (LimitTable::default(), LimitTable::with(text).unwrap());
        let home = Some((CustomerClass::ResidentialCooking, SizeClass::Micro));
        let works = Some((CustomerClass::Industrial, SizeClass::Large));
        let since = day("2026-11-15");
        assert_eq!(after.of_class(home, since), before.of_class(home, since));
        assert_ne!(after.of_class(works, since), before.of_class(works, since));
        assert_eq!(after.changes_of(home).count(), 0);
        assert_eq!(after.changes_of(works).collect::<Vec<_>>(), [since]);
    }
}
