//! Frames of the shipped profiles with codec `dlt645`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::decode("dlt645", data));
