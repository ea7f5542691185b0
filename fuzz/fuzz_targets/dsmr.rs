//! Frames of the shipped profiles with codec `dsmr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::decode("dsmr", data));
