//! Frames of the shipped profiles with codec `mbus`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::decode("mbus", data));
