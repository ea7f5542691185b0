//! Files of `qiliang import`, by the extension `csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::import("csv", data));
