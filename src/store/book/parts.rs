//! What the book holds, as people call it: the tables of each part.

/// Something that is served from the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookPart {
    /// What it is.
    pub name: &'static str,
    /// Where it stands.
    pub tables: &'static [&'static str],
}

/// All of the book.
pub const BOOK_PARTS: [BookPart; 9] = [
    BookPart {
        name: "weather",
        tables: &["weather", "observed"],
    },
    BookPart {
        name: "demand",
        tables: &["demand"],
    },
    BookPart {
        name: "forecast runs",
        tables: &[
            "forecast_runs",
            "inputs",
            "run_inputs",
            "run_breakdowns",
            "run_learning",
            "run_months",
        ],
    },
    BookPart {
        name: "what was expected of gas days",
        tables: &["expectations", "expectations_without"],
    },
    BookPart {
        name: "declarations, nominations, ledgers, nudges, alerts and factors",
        tables: &["documents", "restatements"],
    },
    BookPart {
        name: "plans and changes that customers filed",
        tables: &["filed_plans", "production_changes"],
    },
    BookPart {
        name: "versions of the registry",
        tables: &["registry_versions"],
    },
    BookPart {
        name: "the audit log",
        tables: &["audit"],
    },
    BookPart {
        name: "answers to pushes with a key",
        tables: &["push_answers"],
    },
];

/// The part a table belongs to.
pub(super) fn part_of(table: &str) -> Option<&'static BookPart> {
    BOOK_PARTS.iter().find(|part| part.tables.contains(&table))
}
