//! Runs `bellwire_fuzz::sse_parser::check` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwire_fuzz::sse_parser::check(data));
