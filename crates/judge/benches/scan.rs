//! Files a second on one core: parsing alone, all rules, and Bandit on the same files in the same run; a long file; the
//! same files with and without most rules' callees.
//!
//! The files are the Python functions of the labelled pairs in `../shared` where they are here, else the code of the lessons.

#[expect(dead_code, reason = "the pairs alone are needed here")]
#[path = "../tests/labelled/mod.rs"]
mod labelled;

use divan::{Bencher, counter::ItemsCount};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    eprintln!("{} files, {} bytes, {} lines", FILES.len(), total(str::len), total(|f| f.lines().count()));
    divan::main();
}

fn total(of: fn(&str) -> usize) -> usize {
    FILES.iter().map(|f| of(f)).sum()
}

static FILES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let pairs = labelled::pairs().into_iter().flat_map(|(_, pairs)| pairs);
    let mut files: Vec<String> = pairs.flat_map(|p| [p.vulnerable, p.fixed]).collect();
    if files.is_empty() {
        files = lessons();
    }
    files.retain(|code| judge::python::parse(code).is_ok());
    files
});

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every fenced Python block of every lesson, placeholders turned into names.
fn lessons() -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("content/lessons/python")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for block in text.split("```python\n").skip(1) {
            let code = block.split("\n```").next().unwrap_or_default();
            files.push(code.replace("<<", "").replace(">>", "") + "\n");
        }
    }
    files
}

/// Twenty thousand lines or a little more: the files one after the other.
static LONG: LazyLock<String> = LazyLock::new(|| {
    let mut long = String::new();
    let mut lines = 0;
    for code in FILES.iter().cycle() {
        if lines >= 20_000 {
            break;
        }
        lines += code.lines().count();
        long.push_str(code);
        long.push('\n');
    }
    long
});

#[divan::bench]
fn parse(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(FILES.len()))
        .bench_local(|| FILES.iter().filter(|code| judge::python::parse(code).is_ok()).count());
}

#[divan::bench]
fn scan(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(FILES.len()))
        .bench_local(|| FILES.iter().map(|code| judge::native::scan("f.py", code).findings.len()).sum::<usize>());
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn scan_20_000_lines(bencher: Bencher) {
    bencher.bench_local(|| judge::native::scan("f.py", &LONG).findings.len());
}

/// Twenty thousand lines outside any function, each with something that rules ask about.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn scan_20_000_flat_lines(bencher: Bencher) {
    let lines = [
        "subprocess.run(['tool', name], check=True)",
        "cursor.execute('SELECT a FROM t WHERE b = %s' % name)",
        "rows = requests.get('https://example.com/' + name, timeout=5)",
        "file = open(folder + '/' + name, 'w')",
        "page = '<a href=\"%s\">%s</a>' % (name, rows)",
    ];
    let flat: String = lines.iter().cycle().take(20_000).flat_map(|l| [*l, "\n"]).collect();
    bencher.bench_local(|| judge::native::scan("f.py", &flat).findings.len());
}

/// The functions of the labelled pairs in other languages, by extension; the blocks of the specifications where they are not
/// here.
static FOREIGN: LazyLock<Vec<(&str, Vec<String>)>> = LazyLock::new(|| {
    let sets = labelled::foreign_pairs().into_iter();
    let mut files: Vec<(&str, Vec<String>)> = sets
        .map(|set| (set.extension, set.pairs.into_iter().flat_map(|p| [p.vulnerable, p.fixed]).collect()))
        .collect();
    if files.is_empty() {
        for (name, extension) in [("javascript", "jsx"), ("ruby", "rb"), ("go", "go"), ("java", "java"), ("c", "cpp")] {
            let path = root().join("crates/judge/specs").join(format!("{name}.md"));
            let text = fs::read_to_string(path).unwrap_or_default();
            let blocks = text.split("```").skip(1).step_by(2).map(|b| b.split_once('\n').map_or("", |(_, code)| code));
            files.push((extension, blocks.map(str::to_owned).collect()));
        }
    }
    files
});

#[divan::bench(args = ["jsx", "rb", "go", "java", "cpp"])]
fn scan_other_language(bencher: Bencher, extension: &str) {
    let name = format!("a.{extension}");
    let files = || FOREIGN.iter().filter(|(e, _)| *e == extension).flat_map(|(_, files)| files);
    let bytes: usize = files().map(String::len).sum();
    eprintln!("{extension}: {} files, {bytes} bytes", files().count());
    bencher.counter(ItemsCount::new(files().count())).bench_local(|| {
        files().map(|code| judge::languages::scan_file(&name, code, None).findings.len()).sum::<usize>()
    });
}

/// One process for all files, as it is fastest; nothing where it is not installed.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn bandit(bencher: Bencher) {
    let program = root().join(".venv/bin/bandit");
    if !program.is_file() {
        eprintln!("skipped: bandit is not in .venv");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, code) in FILES.iter().enumerate() {
        fs::write(folder.path().join(format!("{number}.py")), code).expect("a file");
    }
    bencher.counter(ItemsCount::new(FILES.len())).bench_local(|| {
        #[expect(clippy::disallowed_methods, reason = "an analyzer: it reads the code and does not run it")]
        let mut command = Command::new(&program);
        let status = command.args(["-q", "--exit-zero", "-r", "-f", "json", "-o"]);
        let status = status.arg(folder.path().join("report.json")).arg(folder.path()).status();
        assert!(status.is_ok_and(|s| s.success()), "bandit failed");
    });
}
