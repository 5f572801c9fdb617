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
    let data = folder.join("rows.jsonl");
    fs::write(&data, row)?;
    let toml = folder.join("c.toml");
    fs::write(
        &toml,
        format!(
            "format = 1\noutput = \"out\"\n[model]\npath = {folder:?}\n[data]\ntrain = [{data:?}]\ntemplate = \"chat\"\n\
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
