//! What the agent itself answers, the fake's and the real one's.

#[path = "consul_parity.rs"]
mod harness;

#[test]
fn the_fakes_agent_answers_as_the_real_one_does() {
    harness::play(include_str!("parity/agent.txt"));
}
