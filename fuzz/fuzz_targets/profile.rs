//! Device profiles as text: refused with problems that name their place, or read.
#![no_main]

use std::path::Path;

use qiliang::decode::DeviceProfile;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(problems) = DeviceProfile::parse(Path::new("fuzz/fuzz.toml"), text) {
        assert!(!problems.is_empty(), "refused without saying why");
    }
});
