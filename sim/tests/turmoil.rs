//! The example runs, and what it asserts holds.

#[path = "../examples/turmoil.rs"]
mod example;

#[test]
fn an_election_survives_a_partition_in_a_plain_turmoil_simulation() {
    example::main();
}
