#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ironbird_sim::consul::fuzzing::request(input));
