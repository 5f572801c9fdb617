//! A folder with a model, pairs and configurations, and the program run in it.

use models::{Compute, DeviceKind, Model, Precision, Stored};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Longest that anything here is waited for; a healthy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of the test's own.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// What a test changes in a configuration.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) output: &'a str,
    pub(crate) objective: &'a str,
    pub(crate) adapter: &'a str,
    pub(crate) steps: usize,
    pub(crate) every: usize,
}

impl Run<'_> {
    /// Full weights and likelihood.
    pub(crate) const SFT: Self =
        Run { output: "out", objective: "kind = \"sft\"", adapter: "{ kind = \"none\" }", steps: 150, every: 8 };
    /// Localized preferences on an adapter with dropout: its masks must be drawn anew as they were.
    pub(crate) const LPO: Self = Run {
        objective: "kind = \"lpo\"",
        adapter: "{ kind = \"lora\", r = 4, alpha = 8, dropout = 0.1, targets = \"all-linear\" }",
        ..Self::SFT
    };
    /// Two prefixes, held to the frozen model, with dropout.
    pub(crate) const SVEN: Self =
        Run { objective: "kind = \"sven\"", adapter: "{ kind = \"prefix\", tokens = 3, dropout = 0.1 }", ..Self::SFT };
    /// Preferences against a frozen reference that the trained weights leave behind.
    pub(crate) const DPO: Self = Run { objective: "kind = \"dpo\"", ..Self::SFT };
}

impl Bench {
    /// A model of random weights and a dozen pairs.
    pub(crate) fn new() -> Outcome<Self> {
        let bench = Self { folder: tempfile::tempdir()? };
        fs::create_dir(bench.path("model"))?;
        bench.file("model/config.json", &config_json().to_string())?;
        bench.file("model/tokenizer.json", &tokenizer_json(&letters()).to_string())?;
        let compute = Compute::choose(DeviceKind::Cpu, Precision::F32)?;
        Model::random(&bench.path("model"), compute, 1)?.save(&bench.path("model"), Stored::F32)?;
        bench.file("pairs.jsonl", &pairs(0..12))?;
        bench.file("held-out.jsonl", &pairs(12..15))?;
        bench.file("prompts.jsonl", "{\"format\":1,\"id\":\"p\",\"prompt\":\"x = \"}\n")?;
        Ok(bench)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Writes `<output>.toml` and returns its name.
    pub(crate) fn config(&self, run: Run<'_>) -> Outcome<String> {
        let Run { output, objective, adapter, steps, every } = run;
        let name = format!("{output}.toml");
        self.file(
            &name,
            &format!(
                "format = 1\noutput = \"{output}\"\nseed = 5\n[model]\npath = \"model\"\ndtype = \"f32\"\n\
                 adapter = {adapter}\n[data]\ntrain = [\"pairs.jsonl\"]\neval = [\"held-out.jsonl\"]\n\
                 max-tokens = 256\n[objective]\n{objective}\n[optim]\nlearning-rate = 2e-3\nschedule = \"cosine\"\n\
                 warmup-ratio = 0.1\nweight-decay = 0.01\nclip-norm = 1.0\nbatch = 5\nsteps = {steps}\n\
                 [device]\nkind = \"cpu\"\n[checkpoint]\nevery = {every}\n[evaluation]\nevery = 10\npatience = 1000\n"
            ),
        )?;
        Ok(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
        command.args(arguments);
        self.placed(command)
    }

    /// The program under `ulimit -f`: writing beyond that many kilobytes fails with an error, as a full disk does.
    pub(crate) fn limited(&self, kilobytes: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        // `ulimit -f` counts blocks of 512 bytes.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2);
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_rampart")]).args(arguments);
        self.placed(command)
    }

    fn placed(&self, mut command: Command) -> Command {
        // Two threads that wait for each other on a busy machine cost more than they give with a model of this size.
        command.current_dir(self.folder()).env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome<Output> {
        Ok(self.command(arguments).output()?)
    }

    /// Runs to the end, exit 0, and returns what it said.
    pub(crate) fn finishes(&self, arguments: &[&str]) -> Outcome<String> {
        let output = self.run(arguments)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        Ok(said)
    }

    /// Exit 2, one message that holds every text of `expect`, nothing printed; every file of before as it was, and none
    /// added.
    pub(crate) fn refuses(&self, arguments: &[&str], expect: &[&str]) -> Outcome {
        self.refuses_as(self.command(arguments), expect)
    }

    pub(crate) fn refuses_as(&self, mut command: Command, expect: &[&str]) -> Outcome {
        let before = contents(self.folder())?;
        let output = command.output()?;
        let said = one_message(&output)?;
        for text in expect {
            assert!(said.contains(text), "{command:?} said {said:?}, expected {text:?}");
        }
        assert!(output.stdout.is_empty(), "{command:?} printed {:?}", String::from_utf8_lossy(&output.stdout));
        assert!(contents(self.folder())? == before, "{command:?} changed a file: {:?}", names(self.folder())?);
        Ok(())
    }

    /// Every file that a finished run leaves for others, by name below its output folder.
    pub(crate) fn results(&self, output: &str) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
        let mut all = BTreeMap::new();
        for part in ["model", "adapter", "best"] {
            let folder = self.path(output).join(part);
            for (path, bytes) in contents(&folder)? {
                all.insert(Path::new(part).join(path.strip_prefix(&folder)?), bytes);
            }
        }
        assert!(!all.is_empty(), "{output} has no result");
        Ok(all)
    }

    /// Lines of `metrics.jsonl` without their times.
    pub(crate) fn metrics(&self, output: &str) -> Outcome<Vec<Value>> {
        let text = fs::read_to_string(self.path(output).join("metrics.jsonl"))?;
        text.lines()
            .map(|line| {
                let mut value: Value = serde_json::from_str(line)?;
                value.as_object_mut().and_then(|o| o.remove("seconds")).ok_or("a line without seconds")?;
                Ok(value)
            })
            .collect()
    }

    /// The two runs ended the same: results byte by byte, metrics but for their times, and no scraps.
    pub(crate) fn same(&self, one: &str, other: &str) -> Outcome {
        let (a, b) = (self.results(one)?, self.results(other)?);
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        for (name, bytes) in &a {
            assert!(b.get(name) == Some(bytes), "{} of {one} and {other} differ", name.display());
        }
        assert_eq!(self.metrics(one)?, self.metrics(other)?);
        for path in names(&self.path(other))? {
            assert!(!path.to_string_lossy().contains(".partial-"), "{} was left behind", path.display());
        }
        Ok(())
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Outcome<Running> {
        self.start_as(self.command(arguments))
    }

    pub(crate) fn start_as(&self, mut command: Command) -> Outcome<Running> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let said = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        Ok(Running { child, said, heard: String::new() })
    }
}

/// A process under way; killed when the test lets go of it.
pub(crate) struct Running {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Running {
    /// Reads what it says until a line begins so.
    pub(crate) fn hear(&mut self, start: &str) -> Outcome {
        loop {
            let from = self.heard.len();
            if self.said.read_line(&mut self.heard)? == 0 {
                return Err(format!("it ended before saying {start:?}: {}", self.heard).into());
            }
            if self.heard[from..].starts_with(start) {
                return Ok(());
            }
        }
    }

    /// Looks again and again until it is so; `false` when the process ended before.
    pub(crate) fn until(&mut self, mut so: impl FnMut() -> bool) -> Outcome<bool> {
        let started = Instant::now();
        while !so() {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if started.elapsed() > PATIENCE {
                return Err("it did not happen in time".into());
            }
            std::thread::yield_now();
        }
        Ok(true)
    }

    /// SIGKILL: the process learns nothing of it.
    pub(crate) fn kill(mut self) -> Outcome {
        self.child.kill()?;
        let status = self.child.wait()?;
        assert_eq!(status.code(), None, "it ended by itself before it was killed: {}", self.heard);
        Ok(())
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) -> Outcome {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status()?;
        assert!(sent.success(), "no {name} was sent");
        Ok(())
    }

    /// Its end and everything it said.
    pub(crate) fn ends(mut self) -> Outcome<(ExitStatus, String)> {
        self.said.read_to_string(&mut self.heard)?;
        Ok((self.child.wait()?, std::mem::take(&mut self.heard)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a failed command said: exit 2, one message, no trace of a panic.
pub(crate) fn one_message(output: &Output) -> Outcome<String> {
    let said = String::from_utf8(output.stderr.clone())?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    let messages = said.lines().filter(|l| l.starts_with("rampart: ") || l.starts_with("error: ")).count();
    assert_eq!(messages, 1, "{said}");
    assert!(said.lines().last().is_some_and(|l| l.starts_with("rampart: ")), "the message is not last: {said}");
    for trace in ["panicked", "unwrap", "mistake in the program", "RUST_BACKTRACE"] {
        assert!(!said.contains(trace), "{said}");
    }
    Ok(said)
}

/// Every file below a folder with its bytes; nothing where there is no folder.
pub(crate) fn contents(folder: &Path) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for path in names(folder)? {
        if path.is_file() {
            let bytes = fs::read(&path)?;
            all.insert(path, bytes);
        }
    }
    Ok(all)
}

fn names(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut all = Vec::new();
    if !folder.exists() {
        return Ok(all);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(names(&path)?);
        }
        all.push(path);
    }
    Ok(all)
}

pub(crate) fn config_json() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
        "head_dim": 16, "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
        "bos_token_id": null, "eos_token_id": 127, "torch_dtype": "float32"
    })
}

/// Every printable ASCII character as a byte-level tokenizer writes it, space and line end included.
pub(crate) fn letters() -> Vec<String> {
    let plain = (33..127u8).map(|b| char::from(b).to_string());
    plain.chain(["\u{120}".into(), "\u{10a}".into()]).collect()
}

/// A byte-level tokenizer without merges: a character is a token.
pub(crate) fn tokenizer_json(vocabulary: &[String]) -> Value {
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
    let vocab: serde_json::Map<_, _> = vocabulary.iter().enumerate().map(|(i, t)| (t.clone(), i.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [{"id": 127, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []}
    })
}

/// A pair as a row; the sides differ.
pub(crate) fn pair(n: usize) -> Value {
    json!({
        "format": 1, "id": format!("p-{n}"), "language": "python", "cwe": ["CWE-95"],
        "instruction": format!("Read number {n}."), "reasoning": "eval runs code.",
        "secure": format!("v{n} = int(text)\n"), "insecure": format!("v{n} = eval(text)\n"),
        "origin": {"kind": "lesson"}
    })
}

fn pairs(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("{}\n", pair(n))).collect()
}
