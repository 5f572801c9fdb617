//! Mutated texts for some seconds: `cargo run --package judge --example mutate -- 600 [SEED]`. A panic names its round.

#[path = "../tests/mutate/mod.rs"]
#[expect(dead_code, reason = "a test asks whether the seeds are understood")]
mod mutate;

use std::time::{Duration, Instant};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let seconds = Duration::from_secs(arguments.next().unwrap_or(60));
    let first = arguments.next().unwrap_or(1);
    let seeds = mutate::Seeds::read();
    let (start, mut rounds) = (Instant::now(), 0u64);
    while start.elapsed() < seconds {
        // Each round has a seed of its own, so that one alone can be had again.
        let seed = (first + rounds).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let caught = std::panic::catch_unwind(|| seeds.round(&mut mutate::Draw(seed)));
        if caught.is_err() {
            eprintln!("round {}", first + rounds);
        }
        rounds += 1;
    }
    println!("{rounds} rounds from {first} on");
}
