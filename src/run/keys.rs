//! The file of device keys: one `device:32 hexadecimal digits` a line, `#` for comments.
//!
//! A problem names the line and never what is on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::domain::id::DeviceId;
use crate::domain::key::{DeviceKey, KeyRing};
use crate::domain::problem::Problem;

/// What others may do to a file, as mode bits.
const OTHERS: u32 = 0o007;

/// Reads the file: the keys that are good, and every problem.
pub fn load(file: &Path) -> (KeyRing, Vec<Problem>) {
    let read = fs::metadata(file).and_then(|meta| {
        let text = fs::read_to_string(file)?;
        Ok((meta.permissions().mode(), text))
    });
    match read {
        Ok((mode, text)) => {
            let (ring, mut problems) = parse(file, &text);
            if mode & OTHERS != 0 {
                problems.insert(0, exposed(file, mode));
            }
            (ring, problems)
        }
        Err(error) => {
            let problem = Problem {
                file: file.to_owned(),
                line: None,
                code: "settings.keys_unreadable",
                message: format!("the device keys cannot be read: {error}"),
                remedy: "correct decode.keys_file, or make the file readable for this user".into(),
                is_warning: false,
            };
            (KeyRing::default(), vec![problem])
        }
    }
}

fn exposed(file: &Path, mode: u32) -> Problem {
    Problem {
        file: file.to_owned(),
        line: None,
        code: "settings.keys_exposed",
        message: format!(
            "every user of this machine may get at the keys (mode {:03o})",
            mode & 0o777
        ),
        remedy: "run chmod 600 on it".into(),
        is_warning: false,
    }
}

fn parse(file: &Path, text: &str) -> (KeyRing, Vec<Problem>) {
    let mut ring = KeyRing::default();
    let mut lines: BTreeMap<DeviceId, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut add = |code, message: String, remedy: &str| {
            problems.push(Problem {
                file: file.to_owned(),
                line: Some(number),
                code,
                message,
                remedy: remedy.to_owned(),
                is_warning: false,
            });
        };
        let parsed = line.rsplit_once(':').and_then(|(device, key)| {
            let device = device.trim();
            let key = DeviceKey::from_hex(key)?;
            (!device.is_empty()).then(|| (DeviceId::from(device), key))
        });
        let Some((device, key)) = parsed else {
            add(
                "settings.keys_line",
                "the line is no key".into(),
                "write the device, a colon, and 32 hexadecimal digits",
            );
            continue;
        };
        if let Some(first) = lines.get(&device) {
            add(
                "settings.keys_duplicate",
                format!("the device has a key already, on line {first}"),
                "keep one of the two lines",
            );
            continue;
        }
        lines.insert(device.clone(), number);
        ring.insert(device, key);
    }
    (ring, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090A0B0C0D0E0F";

    #[test]
    fn keys_are_read_and_problems_named_by_line_without_what_is_on_it() {
        let text = format!("# site 1\n\nD1:{KEY}\nD2:secret-but-no-key\nD1:{KEY}\n:{KEY}\n");
        let (ring, problems) = parse(Path::new("keys"), &text);
        assert_eq!(ring.len(), 1);
        assert!(ring.get(&DeviceId::from("D1")).is_some());
        let found: Vec<_> = problems.iter().map(|p| (p.line, p.code)).collect();
        assert_eq!(
            found,
            [
                (Some(4), "settings.keys_line"),
                (Some(5), "settings.keys_duplicate"),
                (Some(6), "settings.keys_line")
            ]
        );
        for problem in &problems {
            let said = problem.to_string();
            assert!(!said.contains("secret") && !said.contains(KEY), "{said}");
        }
    }

    #[test]
    fn a_file_that_everyone_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        fs::write(&file, format!("D1:{KEY}\n")).unwrap();
        for (mode, codes) in [
            (0o600, vec![]),
            (0o640, vec![]),
            (0o644, vec!["settings.keys_exposed"]),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let (ring, problems) = load(&file);
            assert_eq!(ring.len(), 1);
            assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), codes);
        }
        let (_, problems) = load(&dir.path().join("absent"));
        assert_eq!(problems[0].code, "settings.keys_unreadable");
    }
}
