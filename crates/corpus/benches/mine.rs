//! Commits a second through mining, and rows a second through its heuristics alone.
//!
//! `cargo bench -p corpus --bench mine`. The history is generated: its objects are loose files, so a packed one is read faster.

#[path = "../tests/mine_history/mod.rs"]
mod mine_history;

use corpus::mine::{Heuristics, history::History, screen::screen};
use divan::{Bencher, counter::ItemsCount};
use judge::{
    Judge,
    analyzers::{self, Settings},
};
use lexicon::Language;
use mine_history::make;
use std::{path::PathBuf, sync::OnceLock, sync::atomic::AtomicBool};

fn main() {
    divan::main();
}

const COMMITS: usize = 4_000;

fn repository() -> &'static PathBuf {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("project");
        make(&path, 3, COMMITS, 120, 600).expect("a history");
        (folder, path)
    });
    path
}

/// Everything: walking, screening, judging, writing; on all processors.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn commits(bencher: Bencher) {
    let heuristics = Heuristics::built_in().expect("heuristics");
    let judge = Judge::new(analyzers::open(&["native"], &Settings::default()).expect("native"), None);
    let repositories = [repository().clone()];
    bencher.counter(ItemsCount::new(COMMITS)).with_inputs(|| tempfile::tempdir().expect("a folder")).bench_values(
        |out| {
            let report = corpus::mine::run(&mut corpus::mine::Run {
                repositories: &repositories,
                revision: None,
                most: usize::MAX,
                desk: corpus::mine::Desk {
                    out: out.path(),
                    heuristics: &heuristics,
                    judge: &judge,
                    analyzers: &[("native".to_owned(), "1".to_owned())],
                    author: None,
                    allow: &[],
                    stop: &AtomicBool::new(false),
                    progress: &mut |_, _, _| (),
                },
            });
            assert!(report.is_ok_and(|r| r.fixes > 100));
            out
        },
    );
}

/// Screening alone, on one processor.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn screened(bencher: Bencher) {
    let heuristics = Heuristics::built_in().expect("heuristics");
    let history = History::open(repository(), None).expect("a repository");
    let ids = history.commits(usize::MAX).ids;
    let reader = history.reader();
    bencher
        .counter(ItemsCount::new(ids.len()))
        .bench_local(|| ids.iter().filter(|&&id| screen(&history, &reader, id, &heuristics).is_ok()).count());
}

/// Messages and changed lines as a table of commits has them, on one processor.
#[divan::bench]
fn rows(bencher: Bencher) {
    const MESSAGES: [&str; 6] = [
        "Fix SQL injection in the search of users\n\nThe name went into the statement as it was.",
        "Bump version to 1.4.2",
        "Refactor the loader so that it reads in one pass; see the design notes for the reasons\n\nNo change in behaviour.",
        "security: verify certificates again",
        "Update dependencies (#1234)\n\nSigned-off-by: A. Author <author@example.com>",
        "Add a report of slow queries, with a table and a chart, and a test for both of them",
    ];
    let heuristics = Heuristics::built_in().expect("heuristics");
    let patch =
        "    cursor.execute(f\"SELECT * FROM users WHERE name = '{name}'\")\n    value = compute(a, b)\n".repeat(10);
    bencher.counter(ItemsCount::new(MESSAGES.len())).bench_local(|| {
        let found = |text: &&&str| {
            let message = heuristics.message(text);
            message.speaks() && !heuristics.suspects(&message, [(Language::Python, patch.as_str())]).is_empty()
        };
        MESSAGES.iter().filter(found).count()
    });
}
