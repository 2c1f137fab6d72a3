//! Runs `bellwire_fuzz::proxy_header::check` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwire_fuzz::proxy_header::check(data));
