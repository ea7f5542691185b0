//! The direction of imports, and who may name which crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rings, inner first: a module may import from any ring before its own, and from itself.
const RINGS: &[&[&str]] = &[
    &["domain"],
    &["decode", "validate", "forecast", "plan"],
    &["collect", "store", "registry", "ledger", "nudge"],
    &["serve", "simulate"],
    &["run"],
    &["cli"],
];

/// Open to every ring from the third on; never to the pure ones.
const AMBIENT: &[&str] = &["clock", "settings", "supervise"];

/// Crates that are named in these modules only.
const CRATES: &[(&str, &[&str])] = &[
    ("aes_gcm", &["decode"]),
    ("aga8", &["validate"]),
    ("rumqttc", &["collect", "simulate"]),
    ("tokio_modbus", &["collect", "simulate"]),
    ("parquet", &["store"]),
    ("rusqlite", &["store"]),
    ("rusqlite_migration", &["store"]),
    ("linfa", &["forecast"]),
    ("linfa_linear", &["forecast"]),
    ("good_lp", &["plan"]),
    ("axum", &["serve"]),
    ("tower_http", &["serve"]),
    ("rust_embed", &["serve"]),
    ("prometheus_client", &["serve", "run"]),
    ("rust_xlsxwriter", &["plan", "ledger"]),
    ("reqwest", &["nudge", "cli", "collect", "store"]),
    ("influxdb2", &["store"]),
    ("openssl", &["collect"]),
    ("tokio_openssl", &["collect"]),
    ("calamine", &["collect"]),
    ("flate2", &["collect"]),
    ("minijinja", &["nudge"]),
    ("clap", &["cli"]),
    ("aes", &["decode"]),
    ("cbc", &["decode"]),
    ("cmac", &["decode"]),
    ("ctr", &["decode"]),
];

fn source_files(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            source_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(root()).unwrap();
    let first = relative.components().next().unwrap().as_os_str();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Code without its tests: a test may stand things together that the program keeps apart.
fn production_code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let is_test_file = file.file_name().is_some_and(|n| n == "tests.rs")
        || file.components().any(|c| c.as_os_str() == "tests");
    if is_test_file {
        return String::new();
    }
    match text.find("#[cfg(test)]\nmod ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let names: Vec<String> = match rest.strip_prefix('{') {
                Some(list) => list
                    .trim_end_matches(['}', ';'])
                    .split(',')
                    .map(|item| {
                        item.trim()
                            .split("::")
                            .next()
                            .unwrap_or_default()
                            .to_owned()
                    })
                    .collect(),
                None => vec![
                    rest.chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .collect(),
                ],
            };
            found.extend(names.into_iter().filter(|n| !n.is_empty()));
        }
    }
    found
}

#[test]
fn imports_point_down_the_flow() {
    let ring: BTreeMap<&str, usize> = RINGS
        .iter()
        .enumerate()
        .flat_map(|(index, names)| names.iter().map(move |name| (*name, index)))
        .collect();
    let mut files = Vec::new();
    source_files(&root(), &mut files);
    assert!(files.len() > 30, "found only {} files", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let from = module_of(file);
        if from == "main" || from == "lib" || AMBIENT.contains(&from.as_str()) {
            continue;
        }
        let Some(own) = ring.get(from.as_str()) else {
            wrong.push(format!("{}: module `{from}` has no ring", file.display()));
            continue;
        };
        for to in imports(&production_code(file)) {
            let is_allowed = to == from
                || ring.get(to.as_str()).is_some_and(|other| other < own)
                || (AMBIENT.contains(&to.as_str()) && *own >= 2);
            if !is_allowed {
                wrong.push(format!("{}: `{from}` imports `{to}`", file.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows against the flow:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn ambient_modules_know_the_vocabulary_at_most() {
    let mut files = Vec::new();
    source_files(&root(), &mut files);
    for file in files
        .iter()
        .filter(|f| AMBIENT.contains(&module_of(f).as_str()))
    {
        for to in imports(&production_code(file)) {
            assert!(
                to == "domain" || AMBIENT.contains(&to.as_str()),
                "{} imports `{to}`",
                file.display()
            );
        }
    }
}

#[test]
fn each_outside_crate_is_named_in_its_own_module() {
    let mut files = Vec::new();
    source_files(&root(), &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let from = module_of(file);
        let code = production_code(file);
        for (name, allowed) in CRATES {
            let is_named = code
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .any(|line| {
                    line.match_indices(&format!("{name}::")).any(|(at, _)| {
                        !line[..at]
                            .ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                    })
                });
            if is_named && !allowed.contains(&from.as_str()) {
                wrong.push(format!("{} names `{name}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_path_writes_to_a_meter() {
    // Modbus function codes 1 to 4 only, and no publish from the daemon's side of MQTT but for the
    // doctor's self-test.
    let mut files = Vec::new();
    source_files(&root(), &mut files);
    let doctor = root().join("collect/mqtt/doctor");
    for file in files.iter().filter(|f| module_of(f) == "collect") {
        let code = production_code(file);
        // The doctor's self-test publishes to a private topic of its own, and to no other.
        if file.ends_with("mqtt/doctor/probe.rs") {
            assert_eq!(code.matches("topic: format!(").count(), 1);
            assert!(code.contains(r#"topic: format!("qiliang-doctor/"#));
        }
        for word in [
            "write_single",
            "write_multiple",
            "masked_write",
            "read_write_multiple",
        ] {
            assert!(!code.contains(word), "{} contains `{word}`", file.display());
        }
        let is_doctor = file.starts_with(&doctor) || file == &doctor.with_extension("rs");
        for word in [".publish(", ".probe_message("] {
            assert!(
                is_doctor || !code.contains(word),
                "{} contains `{word}`, which only the doctor may",
                file.display()
            );
        }
    }
}

/// What is kept of past days stands on the count of writes to their curves (`store/journal/many.rs`).
#[test]
fn whoever_writes_curves_counts_it() {
    const WRITERS: [&str; 3] = [" INTO {}", "UPDATE {}", "DELETE FROM {}"];
    let mut files = Vec::new();
    source_files(&root().join("store/journal"), &mut files);
    let mut found = Vec::new();
    for file in &files {
        let code = production_code(file);
        let writes = |table: &str| {
            let mut statements = WRITERS.iter().map(|form| form.replace("{}", table));
            statements.any(|statement| code.contains(&format!("{statement} ")))
        };
        // A table whose name is put in may be that of curves.
        if writes("curves") || writes("{}") {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(code.contains("curve_writes.count("), "{name} does not");
            found.push(name);
        }
    }
    found.sort();
    assert_eq!(found, ["curves.rs", "retention.rs"]);
}
