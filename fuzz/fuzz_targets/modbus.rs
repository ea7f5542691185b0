//! Frames of the shipped profiles with codec `modbus`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::decode("modbus", data));
