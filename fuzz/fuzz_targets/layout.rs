//! Frames of the shipped profiles with codec `layout`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::decode("layout", data));
