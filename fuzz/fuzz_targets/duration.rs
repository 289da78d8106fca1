#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| ironbird_sim::consul::fuzzing::duration(input));
