//! Frames of the shipped profiles with codec `dlms`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qiliang_fuzz::decode("dlms", data));
