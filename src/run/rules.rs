//! The company's own limits of the validation rules, `rules.toml` beside its registry.
//!
//! A faulty table judges nothing: whoever judges refuses to begin, a daemon that runs goes on with the one
//! it has. Whoever only reads figures is not kept from them and says what is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::problem::Problem;
use crate::validate::limits::LimitTable;

const FAULTY: &str = "rules.invalid";

/// Whether a problem is one of the table.
pub fn is_faulty(problem: &Problem) -> bool {
    problem.code == FAULTY
}

/// Where the table of a registry folder lies.
pub fn path(registry_dir: &Path) -> PathBuf {
    registry_dir.join("rules.toml")
}

/// The limits that hold: those built in, changed by the company's own table if there is one.
///
/// With problems the built-in ones are returned; whether to go on with them is the caller's decision.
pub fn load(registry_dir: &Path) -> (Arc<LimitTable>, Vec<Problem>) {
    let path = path(registry_dir);
    let problem = |line, message, remedy: &str| Problem {
        file: path.clone(),
        line,
        code: FAULTY,
        message,
        remedy: remedy.into(),
        is_warning: false,
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return (Arc::default(), Vec::new());
        }
        Err(error) => {
            let remedy = "let the user of the program read it, in UTF-8";
            let problems = vec![problem(None, format!("cannot be read: {error}"), remedy)];
            return (Arc::default(), problems);
        }
    };
    match LimitTable::with(&text) {
        Ok(table) => (Arc::new(table), Vec::new()),
        Err(errors) => {
            let remedy = "docs/VALIDATION.md lists the limits and their ranges";
            let problems = errors
                .into_iter()
                .map(|error| problem(error.line, error.what, remedy))
                .collect();
            (Arc::default(), problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_the_built_in_limits_hold_and_a_wrong_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (built_in, problems) = load(dir.path());
        assert_eq!((*built_in).clone(), LimitTable::default());
        assert_eq!(problems, []);
        std::fs::write(path(dir.path()), "[[set]]\nv10_days = 5\n").unwrap();
        let (own, problems) = load(dir.path());
        assert_ne!(own, built_in);
        assert_eq!(problems, []);
        std::fs::write(path(dir.path()), "[[set]]\n\nv10_days = 50\n").unwrap();
        let (_, problems) = load(dir.path());
        let text = problems[0].to_string();
        assert!(
            text.ends_with(
                "rules.toml:3: v10_days is 50, expected 1.0 to 20.0; docs/VALIDATION.md lists the \
                 limits and their ranges [rules.invalid]"
            ),
            "{text}"
        );
    }
}
