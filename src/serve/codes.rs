//! The Chinese sentence of every stable code: one file, in the order of the alphabet, for console,
//! notices and translators.

use std::collections::BTreeMap;
use std::sync::LazyLock;

static SENTENCES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../web/locales/codes.zh-CN.json")).unwrap_or_default()
});

/// What a code means and what to do, in Chinese.
pub fn sentence(code: &str) -> Option<&'static str> {
    SENTENCES.get(code).map(String::as_str)
}

/// The sentence with its code, or the code alone where there is none yet.
pub(super) fn titled(before: &str, code: &str) -> String {
    match sentence(code) {
        Some(sentence) => format!("{before}:{sentence} [{code}]"),
        None => format!("{before} [{code}]"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// First parts of codes; what else is written like one is no code.
    const STAGES: [&str; 23] = [
        "book",
        "calendar",
        "collect",
        "curve",
        "declaration",
        "decode",
        "filing",
        "forecast",
        "import",
        "influx",
        "ingest",
        "journal",
        "ledger",
        "nomination",
        "nudge",
        "plan",
        "registry",
        "reload",
        "run",
        "serve",
        "settings",
        "store",
        "validate",
    ];

    /// Actions of the audit log and file names that look like codes.
    const NOT_CODES: [&str; 4] = [
        "curve.edit",
        "curve.revoke",
        "declaration.put",
        "forecast.publish",
    ];

    fn files(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The parts of a `tests.rs`.
                if !path.ends_with("tests") {
                    files(&path, out);
                }
            } else if path.extension().is_some_and(|e| e == "rs")
                && path
                    .file_name()
                    .is_some_and(|n| n != "tests.rs" && n != "testing.rs")
            {
                out.push(path);
            }
        }
    }

    /// `"stage.word"` in code that is no test.
    fn codes_in(text: &str) -> BTreeSet<String> {
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
        text.split('"')
            .filter(|part| {
                part.split_once('.').is_some_and(|(stage, word)| {
                    STAGES.contains(&stage)
                        && !word.is_empty()
                        && word
                            .bytes()
                            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                })
            })
            .map(str::to_owned)
            .collect()
    }

    /// Keys of the configuration look like codes too; the shipped file has them all.
    fn is_setting(code: &str) -> bool {
        let (section, key) = code.split_once('.').unwrap();
        let mut inside = false;
        crate::settings::DEFAULT.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            if let Some(header) = line.strip_prefix('[') {
                inside = header
                    .trim_start_matches('[')
                    .starts_with(&format!("{section}]"));
            }
            inside
                && line
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.trim_start().starts_with('='))
        })
    }

    #[test]
    fn every_code_has_a_chinese_sentence() {
        let mut sources = Vec::new();
        files(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut sources,
        );
        let mut missing = BTreeSet::new();
        let mut seen = 0;
        for source in sources {
            for code in codes_in(&fs::read_to_string(source).unwrap()) {
                seen += 1;
                if sentence(&code).is_none()
                    && !is_setting(&code)
                    && !NOT_CODES.contains(&code.as_str())
                {
                    missing.insert(code);
                }
            }
        }
        assert!(seen > 100, "only {seen} codes were found");
        assert!(
            missing.is_empty(),
            "add to web/locales/codes.zh-CN.json, in its order: {missing:#?}"
        );
    }

    #[test]
    fn every_reject_and_profile_code_has_one_wherever_it_is_written() {
        use crate::decode::code::{problem, reject};

        for code in reject::ALL.iter().chain(problem::ALL) {
            assert!(sentence(code).is_some(), "{code}");
        }
    }

    #[test]
    fn the_file_is_in_order_and_its_sentences_are_sentences() {
        let text = include_str!("../../web/locales/codes.zh-CN.json");
        let keys: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
            .collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(keys, sorted, "in the order of the alphabet, each once");
        assert_eq!(
            keys.len(),
            SENTENCES.len(),
            "one line each, and the file is JSON"
        );
        for (code, sentence) in SENTENCES.iter() {
            assert!(
                sentence.chars().count() >= 4 && !sentence.ends_with('。'),
                "{code}"
            );
        }
        assert_eq!(titled("提示", "no.such"), "提示 [no.such]");
        assert!(titled("提示", "store.full").contains("磁盘已满"));
    }
}
