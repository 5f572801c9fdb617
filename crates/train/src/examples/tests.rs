use super::*;
use std::fs;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// A model's folder with the golden tokenizer (it begins sequences with `<s>`) and one of the golden chat templates.
fn folder(template: &str) -> std::result::Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/chat");
    let folder = tempfile::tempdir()?;
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(golden.join(file), folder.path().join(file))?;
    }
    let json: serde_json::Value = serde_json::from_slice(&fs::read(golden.join("golden.json"))?)?;
    if let Some(source) = json["templates"][template].as_str() {
        fs::write(folder.path().join("chat_template.jinja"), source)?;
    }
    Ok(folder)
}

fn examples(
    folder: &Path,
    objective: &str,
    row: &str,
) -> std::result::Result<Vec<Example>, Box<dyn std::error::Error>> {
    examples_by(folder, "chat", objective, row)
}

fn examples_by(
    folder: &Path,
    template: &str,
    objective: &str,
    row: &str,
) -> std::result::Result<Vec<Example>, Box<dyn std::error::Error>> {
    let data = folder.join("rows.jsonl");
    fs::write(&data, row)?;
    let toml = folder.join("c.toml");
    fs::write(
        &toml,
        format!(
            "format = 1\noutput = \"out\"\n[model]\npath = {folder:?}\n[data]\ntrain = [{data:?}]\ntemplate = \"{template}\"\n\
             [objective]\nkind = \"{objective}\"\n[optim]\nlearning-rate = 1e-4\nbatch = 1\nsteps = 1\n"
        ),
    )?;
    let config = Config::read(&toml, &[])?;
    Ok(load("data.train", &config.data.train, &config, &Tokenizer::load(folder)?)?.0)
}

const PAIR: &str = r#"{"format":1,"id":"a","language":"python","cwe":["CWE-78"],"instruction":"List files.","reasoning":"No shell.","secure":"run(['ls'])\n","insecure":"system('ls')\n"}"#;

/// Exactly one beginning and one end: what a double beginning, a lost end or a label on the prompt would break.
fn check(template: &str, prompt: &str, end: &str) -> Outcome {
    let folder = folder(template)?;
    let tokenizer = Tokenizer::load(folder.path())?;
    let (bos, eos) = (tokenizer.bos.ok_or("no beginning")?, tokenizer.eos.ok_or("no end")?);
    for objective in ["sft", "lpo"] {
        let examples = examples(folder.path(), objective, PAIR)?;
        let sequence = examples[0].sequences()[0];
        let answer = format!("No shell.\n\n```python\nrun(['ls'])\n```{end}");
        let expect = tokenizer.encode_start(&format!("{prompt}{answer}"))?;
        assert_eq!(sequence.ids, expect, "{template}");
        let count = |id| sequence.ids.iter().filter(|&&i| i == id).count();
        assert_eq!((count(bos), sequence.ids[0]), (1, bos), "{template}: beginnings");
        assert_eq!((count(eos), sequence.ids.last()), (1, Some(&eos)), "{template}: ends");
        let given = tokenizer.encode_start(prompt)?.len();
        let labels: Vec<f64> = (0..expect.len()).map(|i| f64::from(u8::from(i >= given))).collect();
        assert_eq!(sequence.response, labels, "{template}: the answer and its end are learnt, the prompt is not");
    }
    Ok(())
}

#[test]
fn chats_have_one_beginning_and_one_end() -> Outcome {
    check("inst", "<s>[INST] List files. [/INST]", "</s>")?;
    let system = "<|im_start|>system\nYou help.<|im_end|>\n";
    let user = "<|im_start|>user\nList files.<|im_end|>\n<|im_start|>assistant\n";
    // Neither the beginning nor the end of a sequence is in this template: both are added, once.
    check("chatml", &format!("{system}{user}"), "<|im_end|>\n</s>")?;
    let user = "<s><|head|>user<|/head|>\n\nList files.<|eot|>\n<|head|>assistant<|/head|>\n\n\n";
    check("headers", user, "<|eot|>\n</s>")
}

#[test]
fn texts_that_write_their_own_beginning_have_one() -> Outcome {
    let folder = folder("inst")?;
    let tokenizer = Tokenizer::load(folder.path())?;
    for text in ["<s>x = 1", "x = 1"] {
        let row = serde_json::json!({ "text": text }).to_string();
        let examples = examples(folder.path(), "sft", &row)?;
        let ids = &examples[0].sequences()[0].ids;
        assert_eq!(tokenizer.decode(ids), "x = 1");
        assert_eq!(ids.len(), 7, "a beginning, five bytes, an end: {ids:?}");
    }
    Ok(())
}

#[test]
fn a_model_without_a_template_is_refused() -> Outcome {
    let folder = folder("none")?;
    let said = examples(folder.path(), "sft", PAIR).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(said.contains("has no chat template"), "{said}");
    Ok(())
}

/// In what the families' small tokenizers know.
const SHORT: &str = r#"{"format":1,"id":"a","language":"python","cwe":["CWE-78"],"instruction":"LIST","reasoning":"NO.","secure":"RAN(1)","insecure":"RAN(2)"}"#;

/// Every family's tokenizer with every template: one beginning where the family has one, one end, learnt, and labels on the
/// answer alone.
#[test]
fn every_family_and_template_has_one_beginning_and_one_end() -> Outcome {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden");
    let mut families = 0;
    for entry in fs::read_dir(golden)? {
        let family = entry?.path();
        if !family.join("config.json").exists() {
            continue;
        }
        families += 1;
        let folder = tempfile::tempdir()?;
        for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
            fs::copy(family.join(file), folder.path().join(file))?;
        }
        let tokenizer = Tokenizer::load(folder.path())?;
        let eos = tokenizer.eos.ok_or("no end")?;
        let begins = tokenizer.bos.filter(|bos| tokenizer.encode_start("x").is_ok_and(|ids| ids.first() == Some(bos)));
        for template in ["raw", "disco", "safecoder", "docstring", "comment"] {
            for objective in ["sft", "lpo", "safecoder"] {
                let place = format!("{} {template} {objective}", family.display());
                let examples = examples_by(folder.path(), template, objective, SHORT)?;
                assert!(!examples.is_empty(), "{place}: no example");
                for sequence in examples.iter().flat_map(Example::sequences) {
                    let count = |id| sequence.ids.iter().filter(|&&i| i == id).count();
                    if let Some(bos) = begins.filter(|bos| *bos != eos) {
                        assert_eq!((count(bos), sequence.ids[0]), (1, bos), "{place}: beginnings");
                    }
                    // SafeCoder, objective and template, has no end token, as published.
                    if objective != "safecoder" && template != "safecoder" {
                        assert_eq!((count(eos), sequence.ids.last()), (1, Some(&eos)), "{place}: ends");
                    }
                    let labels = sequence.response.iter().filter(|&&r| r > 0.0).count();
                    assert!(labels > 1 && labels < sequence.ids.len(), "{place}: {labels} labels");
                    assert!(sequence.response[0] == 0.0, "{place}: a label on the prompt");
                    assert!(
                        sequence.response.last().is_some_and(|&r| r > 0.0),
                        "{place}: the last token is not learnt"
                    );
                }
            }
        }
    }
    assert_eq!(families, 12);
    Ok(())
}

/// SVEN's samples from its own data: each side with a changed token that fits whole (methods.md, section 4).
#[test]
fn svens_data_makes_the_published_samples() -> Outcome {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !shared.join("sven/train").is_dir() {
        eprintln!("skipped: ../shared/data/sven is not here");
        return Ok(());
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(shared.join("sven/train"))?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let folder = tempfile::tempdir()?;
    let tokenizer = shared.join("codegen-tokenizer");
    let toml = folder.path().join("c.toml");
    fs::write(
        &toml,
        format!(
            "format = 1\noutput = \"out\"\n[model]\npath = {tokenizer:?}\nadapter = {{ kind = \"prefix\" }}\n[data]\n\
             train = {files:?}\ntemplate = \"code\"\n[objective]\nkind = \"sven\"\n[optim]\nlearning-rate = 1e-2\nbatch = 2\nsteps = 1\n"
        ),
    )?;
    let config = Config::read(&toml, &[])?;
    let (examples, accounts) = load("data.train", &config.data.train, &config, &Tokenizer::load(&tokenizer)?)?;
    let of = |wanted| examples.iter().filter(|e| matches!(e, Example::Single { side, .. } if *side == wanted)).count();
    // Published are 544 and 492: of those, one secure side's only change is empty, and two insecure ones equal their fixes.
    assert_eq!((of(Side::Secure), of(Side::Insecure)), (543, 490), "{}", accounts.summary());
    Ok(())
}
