//! Nothing that reads foreign text panics on it; `examples/mutate.rs` goes on for as long as it is told.

mod mutate;

#[test]
fn mutated_texts_are_survived() {
    let seeds = mutate::Seeds::read();
    let mut draw = mutate::Draw(0x5EED);
    for _ in 0..40 {
        seeds.round(&mut draw);
    }
}

/// The seeds themselves are understood, or mutants of them would test nothing but refusals.
#[test]
fn reports_are_understood() {
    let seeds = mutate::Seeds::read();
    let read = seeds.understood();
    assert!(read.iter().all(|(_, findings)| *findings > 0), "{read:?}");
}
