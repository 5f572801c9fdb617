//! Rows that hold what a suite asks or how it is answered: texts of suites come in, the task a row repeats goes out.
//!
//! Two measures, each a share of the task's own text that a row holds: runs of ten leaves of code as written (eight words of
//! an instruction), and parts of the syntax tree without own names, strings and numbers. What more than [`COMMON`]
//! different tasks hold (the imports of a web framework) is nobody's own and does not count.

use super::shape::{Shape, hash, runs, shape, words};
use lexicon::{Language, Pair};
use std::collections::{HashMap, HashSet};

const LEAVES: usize = 10;
const WORDS: usize = 8;
/// Runs or parts that a task must have for a share of them to mean something.
const FEWEST: usize = 6;
/// The same of parts of a tree: each holds the smaller ones below it, so few are many, and half of them is what any two
/// handlers of a web framework share: [`Suites::code`] asks for half of what is missing besides.
const FEWEST_PARTS: usize = 3;
/// Tasks that may share what still counts as a task's own.
const COMMON: usize = 10;

/// What a suite asks in one task, and its known answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// Suite.
    pub suite: String,
    /// Task.
    pub task: String,
    /// Language of the code.
    pub language: Language,
    /// What is asked, in words.
    pub instruction: String,
    /// Code to go on from with the known answer behind it, each as a whole.
    pub code: Vec<String>,
    /// Whether the suite is made of our lessons: rows of lessons are its kin by intent, and the same code alone counts.
    pub lessons: bool,
}

/// By what a row was found to repeat a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The same text.
    Same,
    /// Runs of leaves or words.
    Runs,
    /// Parts of the tree.
    Tree,
}

/// A task that a row repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Number of the reference.
    pub reference: usize,
    /// By what.
    pub by: By,
    /// Share of the task's text that the row holds.
    pub share: f64,
}

#[derive(Debug, Default)]
struct Table {
    /// Which fragments hold a run or part.
    holders: HashMap<u64, Vec<u32>>,
    /// Fragments: their reference, and how much of their own they have.
    fragments: Vec<(u32, u32)>,
    /// What a fragment must have at least.
    fewest: usize,
}

impl Table {
    fn build(texts: Vec<(u32, Vec<u64>)>, fewest: usize) -> Self {
        let mut table = Self { fewest, ..Self::default() };
        let mut same: HashSet<Vec<u64>> = HashSet::new();
        for (reference, items) in texts {
            // Suites share tasks; the first that has a text speaks for it.
            if items.len() < fewest || !same.insert(items.clone()) {
                continue;
            }
            let fragment = table.fragments.len() as u32;
            table.fragments.push((reference, 0));
            for item in items {
                table.holders.entry(item).or_default().push(fragment);
            }
        }
        table.holders.retain(|_, holders| holders.len() <= COMMON);
        for holders in table.holders.values() {
            for &fragment in holders {
                table.fragments[fragment as usize].1 += 1;
            }
        }
        table
    }

    /// The reference of which the items hold the largest share.
    fn find(&self, items: &[u64], skip: &dyn Fn(u32) -> bool) -> Option<(usize, f64)> {
        let mut held: HashMap<u32, u32> = HashMap::new();
        for item in items {
            for &fragment in self.holders.get(item).into_iter().flatten() {
                *held.entry(fragment).or_default() += 1;
            }
        }
        let share = |(fragment, held): (u32, u32)| {
            let (reference, all) = self.fragments[fragment as usize];
            let enough = all as usize >= self.fewest && !skip(reference);
            enough.then(|| (reference as usize, f64::from(held) / f64::from(all)))
        };
        held.into_iter().filter_map(share).max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    }
}

/// All suites' texts, ready to be compared with.
#[derive(Debug, Default)]
pub struct Suites {
    same: HashMap<u64, u32>,
    runs: Table,
    trees: Table,
    words: Table,
    lessons: Vec<bool>,
}

impl Suites {
    /// Prepares texts.
    #[must_use]
    pub fn new(references: &[Reference]) -> Self {
        let mut same = HashMap::new();
        let (mut run_texts, mut tree_texts, mut word_texts) = (Vec::new(), Vec::new(), Vec::new());
        for (number, reference) in references.iter().enumerate() {
            let number = number as u32;
            for code in reference.code.iter().filter(|c| !c.trim().is_empty()) {
                same.entry(hash(code.trim().as_bytes())).or_insert(number);
                let shape = shape(reference.language, code);
                run_texts.push((number, code_runs(&shape)));
                tree_texts.push((number, shape.parts));
            }
            word_texts.push((number, runs(&words(&reference.instruction), WORDS)));
        }
        Self {
            same,
            runs: Table::build(run_texts, FEWEST),
            trees: Table::build(tree_texts, FEWEST_PARTS),
            words: Table::build(word_texts, FEWEST),
            lessons: references.iter().map(|r| r.lessons).collect(),
        }
    }

    /// The task of which a pair holds at least the share `least`, in either side or the instruction.
    #[must_use]
    pub fn pair(&self, pair: &Pair, sides: [&Shape; 2], least: f64) -> Option<Hit> {
        let lesson = pair.origin.kind == "lesson";
        let codes = [(pair.secure.as_str(), sides[0]), (pair.insecure.as_str(), sides[1])];
        codes
            .into_iter()
            .find_map(|(code, shape)| self.code(code, shape, lesson, least))
            .or_else(|| self.instruction(&pair.instruction, lesson, least))
    }

    /// The task of which code holds at least the share `least`.
    #[must_use]
    pub fn code(&self, code: &str, shape: &Shape, lesson: bool, least: f64) -> Option<Hit> {
        let skip = |reference: u32| lesson && self.lessons[reference as usize];
        if let Some(&reference) = self.same.get(&hash(code.trim().as_bytes())) {
            return Some(Hit { reference: reference as usize, by: By::Same, share: 1.0 });
        }
        let hit = |by| move |(reference, share)| Hit { reference, by, share };
        let found = self.runs.find(&code_runs(shape), &skip).filter(|f| f.1 >= least).map(hit(By::Runs));
        found.or_else(|| {
            self.trees.find(&shape.parts, &skip).filter(|f| f.1 >= least + (1.0 - least) / 2.0).map(hit(By::Tree))
        })
    }

    fn instruction(&self, text: &str, lesson: bool, least: f64) -> Option<Hit> {
        let skip = |reference: u32| lesson && self.lessons[reference as usize];
        let (reference, share) = self.words.find(&runs(&words(text), WORDS), &skip).filter(|f| f.1 >= least)?;
        Some(Hit { reference, by: By::Runs, share })
    }
}

fn code_runs(shape: &Shape) -> Vec<u64> {
    if shape.plain.len() < LEAVES { Vec::new() } else { runs(&shape.plain, LEAVES) }
}
