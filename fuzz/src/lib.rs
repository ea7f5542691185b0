//! What the fuzz targets share: the shipped profiles by codec, and imports.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use chrono::DateTime;
use qiliang::collect::import::ImportFile;
use qiliang::decode::{DecodeContext, DeviceProfile};
use qiliang::domain::id::DeviceId;
use qiliang::domain::key::KeyRing;

/// The folder of shipped profiles.
pub fn profiles_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../device-profiles")
}

/// Shipped profiles, their file and codec, in order of the file.
pub fn shipped() -> Vec<(PathBuf, String, DeviceProfile)> {
    let mut files = Vec::new();
    for vendor in fs::read_dir(profiles_dir()).expect("the profiles are there") {
        let vendor = vendor.expect("a folder that can be read").path();
        if vendor.is_dir() {
            let of_vendor = fs::read_dir(&vendor).expect("a folder that can be read");
            files.extend(of_vendor.map(|entry| entry.expect("an entry").path()));
        }
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a profile that can be read");
        let table: toml::Table = text.parse().expect("a profile is TOML");
        let codec = table["codec"].as_str().expect("codec is text").to_owned();
        let profile = DeviceProfile::parse(&file, &text).expect("shipped profiles are valid");
        (file, codec, profile)
    };
    files.into_iter().map(read).collect()
}

/// Profiles of one codec, in the order in which the first byte of an input counts them.
pub fn of_codec(codec: &str) -> Vec<DeviceProfile> {
    let shipped = shipped().into_iter();
    shipped
        .filter(|(_, of, _)| of == codec)
        .map(|(_, _, profile)| profile)
        .collect()
}

/// Decodes with the shipped profile of a codec that the first byte names: no panic, and what is
/// decoded has values.
///
/// # Panics
/// No shipped profile has the codec.
pub fn decode(codec: &str, data: &[u8]) {
    static PROFILES: OnceLock<Vec<DeviceProfile>> = OnceLock::new();
    let profiles = PROFILES.get_or_init(|| of_codec(codec));
    assert!(!profiles.is_empty(), "no shipped profile has codec `{codec}`");
    let Some((first, frame)) = data.split_first() else {
        return;
    };
    let profile = &profiles[usize::from(*first) % profiles.len()];
    let device = DeviceId::from("00000000");
    let context = DecodeContext {
        received_at: DateTime::from_timestamp(1_795_219_200, 0).expect("an instant"),
        device: Some(&device),
        keys: KeyRing::EMPTY,
    };
    match profile.decode(frame, &context) {
        Ok(decoded) => {
            let has_items = !decoded.values.is_empty() || !decoded.frozen.is_empty();
            assert!(has_items || decoded.alarms.0 != 0, "decoded to nothing");
            let mut codes: Vec<u8> = decoded.values.iter().map(|(item, _)| *item as u8).collect();
            codes.sort_unstable();
            codes.dedup();
            assert_eq!(codes.len(), decoded.values.len(), "an item twice");
        }
        Err(reason) => assert!(reason.message.len() > 10, "refused without saying why"),
    }
}

/// Reads a file of `qiliang import` with these bytes to its end.
pub fn import(extension: &str, data: &[u8]) {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        // In memory where there is such a place, since it is written for each input.
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let dir = base.join(format!("qiliang-fuzz-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a place for the file");
        dir
    });
    let file = dir.join(format!("input.{extension}"));
    fs::write(&file, data).expect("room for the file");
    if let Ok(rows) = ImportFile::open(&file, DateTime::UNIX_EPOCH) {
        for row in rows {
            if let Err(rejected) = row {
                assert!(rejected.reason.message.len() > 10, "refused without saying why");
            }
        }
    }
}
