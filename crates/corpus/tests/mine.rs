//! Mining over histories that are known: a generated one of 2,000 commits, and hostile ones.

mod mine_history;

use corpus::mine::{self, Heuristics, Reject, Report, Run, desk::Rejected};
use judge::{
    Judge,
    analyzers::{self, Settings},
};
use lexicon::{Pair, jsonl};
use mine_history::{Decoy, History, Outcome, make};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

fn mine_into(repositories: &[PathBuf], out: &Path, allow: &[String], stop: &AtomicBool) -> Result<Report, mine::Error> {
    let judge = Judge::new(analyzers::open(&["native"], &Settings::default()).expect("native"), None);
    mine::run(&mut Run {
        repositories,
        revision: None,
        most: usize::MAX,
        desk: mine::Desk {
            out,
            heuristics: &Heuristics::built_in().expect("heuristics"),
            judge: &judge,
            analyzers: &[("native".to_owned(), "1".to_owned())],
            author: None,
            allow,
            stop,
            progress: &mut |_, _, _| (),
        },
    })
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

fn read<T: serde::de::DeserializeOwned>(file: PathBuf) -> Outcome<Vec<T>> {
    Ok(jsonl::read(&file)?)
}

#[test]
fn fixes_are_found_among_decoys() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (repository, out) = (folder.path().join("project"), folder.path().join("out"));
    let truth = make(&repository, 7, 2_000, 60, 300)?;
    assert!(truth.commits >= 2_000 && truth.fixes.len() == 60 && truth.decoys.len() == 300, "{truth:?}");
    let report = mine_into(std::slice::from_ref(&repository), &out, &[], &never())?;
    let pairs: Vec<Pair> = read(out.join("rows.jsonl"))?;
    let commit = |p: &Pair| p.origin.extra.get("commit").cloned().unwrap_or_default();
    let found: BTreeSet<String> = pairs.iter().map(commit).collect();
    let rejects: Vec<Rejected> = read(out.join("rejects.jsonl"))?;
    let why: BTreeMap<&str, &Rejected> = rejects.iter().map(|r| (r.commit.as_str(), r)).collect();
    let missed: Vec<_> = truth.fixes.keys().filter(|c| !found.contains(*c)).map(|c| why.get(c.as_str())).collect();
    let wrong: Vec<_> = found.iter().filter(|c| !truth.fixes.contains_key(*c)).map(|c| truth.decoys.get(c)).collect();
    println!("{} of 60 found, {} false; missed {missed:#?}; false {wrong:?}", 60 - missed.len(), wrong.len());
    assert!(missed.len() <= 5 && wrong.len() <= 3, "missed {missed:#?} false {wrong:?}");
    // Nothing goes uncounted.
    let all: usize = report.rejects.values().sum();
    assert_eq!((report.commits, all + report.fixes), (truth.commits, truth.commits), "{report:#?}");
    // Each kind of decoy is refused for its own reason.
    let reasons = |decoy| -> BTreeSet<Reject> {
        let of = truth.decoys.iter().filter(|(_, d)| **d == decoy).filter_map(|(c, _)| why.get(c.as_str()));
        of.map(|r| r.reason).collect()
    };
    for (decoy, expect) in [
        (Decoy::CommentOnly, Reject::CommentOnly),
        (Decoy::WhiteSpace, Reject::CommentOnly),
        (Decoy::TooLarge, Reject::TooManyLines),
        (Decoy::TooManyFiles, Reject::TooManyFiles),
        (Decoy::StillThere, Reject::StillFlagged),
        (Decoy::OneOfTwo, Reject::StillFlagged),
        (Decoy::MovedElsewhere, Reject::StillFlagged),
        (Decoy::TestsOnly, Reject::TestsOnly),
        (Decoy::Renamed, Reject::NoCounterpart),
        (Decoy::NewFile, Reject::NoCounterpart),
        (Decoy::Removed, Reject::FunctionUnchanged),
        (Decoy::Merge, Reject::Merge),
        (Decoy::NotText, Reject::NotText),
        (Decoy::OtherType, Reject::OtherType),
    ] {
        assert!(reasons(decoy).contains(&expect), "{decoy:?}: {:?} should hold {expect:?}", reasons(decoy));
    }
    // Every language is among the pairs, and each pair says where it comes from.
    assert_eq!(report.languages.len(), 8, "{report:?}");
    for pair in &pairs {
        let extra = |key: &str| pair.origin.extra.get(key).map(String::as_str).unwrap_or_default();
        assert_eq!((pair.origin.licence.as_str(), pair.origin.kind.as_str()), ("MIT", "mined"));
        assert_eq!((extra("repository"), extra("analyzers")), ("project", "native 1"));
        for key in ["commit", "path", "function", "subject", "rules", "line-changes", "char-changes"] {
            assert!(!extra(key).is_empty(), "{key} of {pair:?}");
        }
        assert!(pair.instruction.starts_with("Write the ") && pair.reasoning.contains(&pair.cwe[0].to_string()));
        assert!(pair.insecure != pair.secure && !pair.insecure.starts_with(' ') && pair.insecure.ends_with('\n'));
        let lines: serde_json::Value = serde_json::from_str(extra("line-changes"))?;
        assert!(lines["insecure"][0][0].as_u64().is_some_and(|n| n >= 1) || lines["secure"][0][0].is_u64(), "{lines}");
    }
    // The trainer's reader takes the rows as they are.
    assert_eq!(corpus::rows::read(&out.join("rows.jsonl"))?.pairs().len(), pairs.len());

    // Stopped in its middle and run again, it writes the same files to the byte; a licence that is not allowed lets nothing through.
    let second = folder.path().join("second");
    let stopped = mine_into(std::slice::from_ref(&repository), &second, &[], &AtomicBool::new(true));
    assert!(matches!(stopped, Err(mine::Error::Stopped { .. })), "{stopped:?}");
    std::fs::create_dir_all(second.join("parts"))?;
    let part = std::fs::read_dir(out.join("parts"))?.flatten().next().ok_or("a folder of parts")?;
    let kept = second.join("parts").join(part.file_name());
    std::fs::create_dir_all(&kept)?;
    std::fs::copy(part.path().join("000000.json"), kept.join("000000.json"))?;
    mine_into(std::slice::from_ref(&repository), &second, &[], &never())?;
    for file in ["rows.jsonl", "rejects.jsonl", "report.json"] {
        assert_eq!(std::fs::read(out.join(file))?, std::fs::read(second.join(file))?, "{file}");
    }
    let third = folder.path().join("third");
    let none = mine_into(std::slice::from_ref(&repository), &third, &["Apache-2.0".to_owned()], &never())?;
    assert_eq!((none.pairs, none.rejects.get(&Reject::Licence)), (0, Some(&report.fixes)));
    // Another run's folder is refused; a broken part is told, with what to do.
    let other = mine_into(std::slice::from_ref(&repository), &third, &[], &never());
    assert!(other.err().is_some_and(|e| e.to_string().contains("choose another output")));
    std::fs::write(kept.join("000000.json"), "{")?;
    let broken = mine_into(&[repository], &second, &[], &never()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(broken.contains("remove it to have it made again"), "{broken}");
    Ok(())
}

/// A repository that its maker describes; what `rampart data mine` says of it.
fn check(make: impl FnOnce(&Path) -> Outcome, expect: &str) -> Outcome<Vec<Rejected>> {
    let folder = tempfile::tempdir()?;
    let (repository, out) = (folder.path().join("project"), folder.path().join("out"));
    make(&repository)?;
    match mine_into(&[repository], &out, &[], &never()) {
        Err(error) => {
            let said = error.to_string();
            assert!(!expect.is_empty() && said.contains(expect) && !said.contains('\n'), "{said:?} {expect:?}");
            assert!(!out.join("rows.jsonl").exists(), "nothing is written");
            Ok(Vec::new())
        }
        Ok(report) => {
            assert_eq!(expect, "", "{report:?}");
            assert_eq!(report.fixes + report.rejects.values().sum::<usize>(), report.commits);
            read(out.join("rejects.jsonl"))
        }
    }
}

const WEAK: &str = "import os\n\ndef f(x):\n    os.system('ls ' + x)\n";
const MENDED: &str = "import subprocess\n\ndef f(x):\n    subprocess.run(['ls', x])\n";
const SAID: &str = "Fix command injection";

fn two(path: &Path, name: &str, before: &[u8], after: &[u8]) -> Outcome<History> {
    let mut h = History::new(path)?;
    h.set(name, Some(before))?;
    h.next("Begin")?;
    h.set(name, Some(after))?;
    h.next(SAID)?;
    h.finish()?;
    Ok(h)
}

/// Removes an object of a repository: what a broken disk or a partial clone leaves.
fn lose(path: &Path, id: gix::ObjectId, with: Option<&[u8]>) -> Outcome {
    let hex = id.to_string();
    let file = path.join(".git/objects").join(&hex[..2]).join(&hex[2..]);
    std::fs::remove_file(&file)?;
    if let Some(bytes) = with {
        std::fs::write(&file, bytes)?;
    }
    Ok(())
}

#[test]
fn hostile_repositories_are_told_or_counted() -> Outcome {
    check(|_| Ok(()), "as a git repository")?;
    check(|p| Ok(std::fs::create_dir(p)?), "as a git repository")?;
    check(|p| Ok(std::fs::write(p, "x")?), "as a git repository")?;
    check(|p| History::new(p).map(drop), "has no commit yet")?;
    let broken_head = |p: &Path| -> Outcome {
        two(p, "a.py", WEAK.as_bytes(), MENDED.as_bytes())?;
        Ok(std::fs::write(p.join(".git/HEAD"), "\u{0}nonsense")?)
    };
    check(broken_head, "as a git repository")?;
    let lost_tip = |p: &Path| lose(p, two(p, "a.py", WEAK.as_bytes(), MENDED.as_bytes())?.tip.ok_or("a tip")?, None);
    check(lost_tip, "as a git repository")?;

    let reasons = |make: &dyn Fn(&Path) -> Outcome| -> Outcome<Vec<Reject>> {
        Ok(check(make, "")?.into_iter().map(|r| r.reason).collect())
    };
    let sides = |name: &'static str, before: Vec<u8>, after: Vec<u8>| {
        reasons(&move |p: &Path| two(p, name, &before, &after).map(drop))
    };
    let (weak, mended) = (WEAK.as_bytes().to_vec(), MENDED.as_bytes().to_vec());
    assert_eq!(sides("a.py", weak.clone(), mended.clone())?, []);
    // Another shell is no fix; a weakness of the family as bad is none either.
    let shell = b"import subprocess\n\ndef f(x):\n    subprocess.run('ls ' + x, shell=True)\n".to_vec();
    assert_eq!(sides("a.py", weak.clone(), shell)?, [Reject::StillFlagged]);
    assert_eq!(sides("a.py", weak.clone(), vec![0xff, b'\n'])?, [Reject::NotText]);
    assert_eq!(sides("a.py", vec![0; 10], mended.clone())?, [Reject::NotText]);
    assert_eq!(sides("a.py", weak.clone(), vec![b'#'; 1 << 20])?, [Reject::TooLargeFile]);
    assert_eq!(sides("a.bin", weak.clone(), vec![0; 1 << 20])?, [Reject::NoCode]);
    assert_eq!(sides("a.py", weak.clone(), b"def f(:\n".to_vec())?, [Reject::Syntax]);
    assert_eq!(sides("a.py", weak.clone(), Vec::new())?, [Reject::FunctionUnchanged]);
    let deep = format!("x = {}1{}\n", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(sides("a.py", weak.clone(), deep.clone().into_bytes())?, [Reject::Syntax]);
    let deep = format!("void f() {{ int x = {}1{}; }}\n", "(".repeat(9_000), ")".repeat(9_000));
    let c = b"void f(char *a, char *b) { char c[4]; strcpy(c, b); }\n".to_vec();
    let told = sides("a.c", c, deep.into_bytes())?;
    assert!(told.len() == 1 && told[0] != Reject::Malformed, "{told:?}");

    // Objects that are not there, or are no objects.
    let lost_parent = |p: &Path| {
        let h = two(p, "a.py", WEAK.as_bytes(), MENDED.as_bytes())?;
        let parent = h.repository.find_commit(h.tip.ok_or("a tip")?)?.parent_ids().next().ok_or("a parent")?.detach();
        lose(p, parent, None)
    };
    assert_eq!(reasons(&lost_parent)?, [Reject::MissingObject]);
    let lost_file = |p: &Path| {
        let h = two(p, "a.py", WEAK.as_bytes(), MENDED.as_bytes())?;
        lose(p, h.files[""]["a.py"], None)
    };
    assert_eq!(reasons(&lost_file)?, [Reject::MissingObject]);
    let spoilt_tree = |p: &Path| {
        let mut h = two(p, "a.py", WEAK.as_bytes(), MENDED.as_bytes())?;
        let tree = h.tree()?;
        lose(p, tree, Some(b"no zlib"))
    };
    assert_eq!(reasons(&spoilt_tree)?, [Reject::Malformed]);
    // A shallow clone: the first commit's parents are beyond its boundary.
    let shallow = |p: &Path| {
        let h = two(p, "a.py", WEAK.as_bytes(), MENDED.as_bytes())?;
        let tip = h.tip.ok_or("a tip")?;
        std::fs::write(p.join(".git/shallow"), format!("{tip}\n"))?;
        Ok(())
    };
    assert_eq!(reasons(&shallow)?, [Reject::Shallow]);
    // A file that moves and is mended is one file; it is looked at.
    let moved = |p: &Path| {
        let mut h = History::new(p)?;
        let more = "\n\ndef g(a):\n    b = a + 1\n    return b\n";
        h.set("old/a.py", Some(format!("{WEAK}{more}").as_bytes()))?;
        h.next("Begin")?;
        h.set("old/a.py", None)?;
        h.set("new/b.py", Some(format!("{MENDED}{more}").as_bytes()))?;
        h.next(SAID)?;
        h.finish()
    };
    assert_eq!(reasons(&moved)?, []);
    Ok(())
}

#[test]
fn a_writer_s_instructions_are_taken_where_they_can_be() -> Outcome {
    struct Scripted;
    impl writer::Writer for Scripted {
        fn write(
            &self,
            asks: &[writer::Ask],
            _: &AtomicBool,
            each: &mut dyn FnMut(usize, writer::Result<writer::Reply>),
        ) {
            for (i, ask) in asks.iter().enumerate() {
                let writer::Question::Text(text) = &ask.question else { continue };
                assert!(text.contains("Python") && text.contains("os.system") && text.contains("subprocess"));
                let said =
                    if i == 0 { "Write a Python function that lists a folder." } else { "Write a safe function." };
                let provenance = writer::Provenance {
                    endpoint: "http://e".into(),
                    model: "m".into(),
                    answered_by: None,
                    parameters: serde_json::json!({}),
                    prompt_sha256: "00".into(),
                    time: 1,
                    usage: writer::Usage::default(),
                    attempts: 1,
                    cached: false,
                };
                let finish = lexicon::FinishReason::Stop;
                each(i, Ok(writer::Reply { text: said.into(), code: None, finish, provenance }));
            }
        }
    }
    let folder = tempfile::tempdir()?;
    let (repository, out) = (folder.path().join("project"), folder.path().join("out"));
    let both =
        |text: &str| format!("{text}\n\ndef g(y):\n{}", &text[text.find("    ").unwrap_or(0)..].replace('x', "y"));
    two(&repository, "a.py", both(WEAK).as_bytes(), both(MENDED).as_bytes())?;
    let judge = Judge::new(analyzers::open(&["native"], &Settings::default())?, None);
    let parameters = writer::Parameters::default();
    let report = mine::run(&mut Run {
        repositories: &[repository],
        revision: Some("main"),
        most: 10,
        desk: mine::Desk {
            out: &out,
            heuristics: &Heuristics::built_in()?,
            judge: &judge,
            analyzers: &[("native".to_owned(), "1".to_owned())],
            author: Some(mine::desk::Author {
                writer: &Scripted,
                template: mine::instruction::TEMPLATE,
                parameters: &parameters,
            }),
            allow: &[],
            stop: &never(),
            progress: &mut |_, _, _| (),
        },
    })?;
    let expect = BTreeMap::from([("endpoint".to_owned(), 1), ("signature".to_owned(), 1)]);
    assert_eq!((report.pairs, report.fixes, &report.instructions), (2, 1, &expect), "{:?}", report.rejects);
    let pairs: Vec<Pair> = read(out.join("rows.jsonl"))?;
    assert_eq!(pairs[0].instruction, "Write a Python function that lists a folder.");
    assert_eq!(
        (pairs[0].insecure.as_str(), pairs[0].secure.as_str()),
        ("def f(x):\n    os.system('ls ' + x)\n", "def f(x):\n    subprocess.run(['ls', x])\n")
    );
    assert_eq!(pairs[0].origin.extra["line-changes"], r#"{"insecure":[[2,2]],"secure":[[2,2]]}"#);
    assert_eq!(pairs[1].instruction, "Write the Python function `g` with the signature `def g(y)`.");
    Ok(())
}
