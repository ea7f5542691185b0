//! Frames of the shipped profiles with codec `cjt188`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::decode("cjt188", data));
