//! Runs `bellwire_fuzz::frame_decoder::check` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwire_fuzz::frame_decoder::check(data));
