//! Runs `bellwire_fuzz::inflate::check` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwire_fuzz::inflate::check(data));
