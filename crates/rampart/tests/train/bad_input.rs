//! Data and configurations that cannot be used: one message that says what, where and what to do, and no file touched.

use super::bench::{Bench, Outcome, Run, one_message, pair};
use serde_json::json;

#[test]
fn bad_data_ends_in_one_message() -> Outcome {
    let bench = Bench::new()?;
    // What an earlier run wrote must stand after every refusal.
    bench.finishes(&["train", &bench.config(Run { steps: 4, every: 2, ..Run::SFT })?])?;
    let config = bench.config(Run { output: "new", ..Run::LPO })?;
    let good = pair(0);
    let alike = |n: usize| json!({"id": n, "prompt": "p", "chosen": "x = 1\n", "rejected": "x = 1\n"});
    let cases: [(&str, String, &[&str]); 11] = [
        ("broken.jsonl", format!("{good}\n{{\"id\": \"a\",\n"), &["broken.jsonl:2: not JSON", "(column "]),
        ("cut.jsonl", format!("{good}\n{}", &good.to_string()[..90]), &["cut.jsonl:2: not JSON: EOF"]),
        (
            "column.jsonl",
            format!("{good}\n\n{{\"prompt\":\"p\",\"chosen\":\"c\"}}\n"),
            &["column.jsonl:3: missing field `rejected`"],
        ),
        ("column.csv", "idx,Secure Code\n1,x\n".into(), &["column.csv:1: missing column: expected Secure Code, Vul"]),
        ("form.jsonl", "{\"code\":\"x\"}\n".into(), &["form.jsonl:1: not a row of a known form (it has code)"]),
        (
            "type.jsonl",
            json!({"prompt": 1, "chosen": "c", "rejected": "r"}).to_string(),
            &["type.jsonl:1: prompt is 1"],
        ),
        ("format.jsonl", "{\"format\":9,\"text\":\"x\"}\n".into(), &["format.jsonl:1: format 9 is not known"]),
        (
            "alike.jsonl",
            format!("{}\n{}\n", alike(1), alike(2)),
            &["alike.jsonl: no example", "2 pair without difference, first 1"],
        ),
        ("empty.jsonl", String::new(), &["empty.jsonl: no example for data.train", "0 rows"]),
        ("blank.jsonl", "\n \n\n".into(), &["blank.jsonl: no example for data.train", "0 rows"]),
        (
            "text.jsonl",
            "{\"text\":\"x = 1\"}\n".into(),
            &["text.jsonl: no example", "1 text row without two sides, first text-1"],
        ),
    ];
    for (name, text, expect) in &cases {
        bench.file(name, text)?;
        let train = format!("data.train=[\"{name}\"]");
        bench.refuses(&["train", &config, "--set", &train], expect)?;
    }
    std::fs::write(bench.path("bytes.jsonl"), [good.to_string().as_bytes(), b"\n\xff\xfe\n"].concat())?;
    for (key, file, expect) in [
        ("data.train", "bytes.jsonl", "bytes.jsonl:2: invalid UTF-8 at byte 1"),
        ("data.train", "absent.jsonl", "cannot read absent.jsonl"),
        ("data.train", "model", "cannot read model"),
        ("data.eval", "empty.jsonl", "empty.jsonl: no example for data.eval"),
        ("data.eval", "broken.jsonl", "broken.jsonl:2: not JSON"),
    ] {
        bench.refuses(&["train", &config, "--set", &format!("{key}=[\"{file}\"]")], &[expect])?;
    }
    // Cut so short that the sides are alike: said as such, with the key that helps.
    bench.refuses(
        &["train", &config, "--set", "data.max-tokens=20"],
        &["pairs.jsonl: no example for data.train", "12 no response within data.max-tokens"],
    )?;
    // Resuming over bad data leaves the checkpoint alone too.
    bench.refuses(&["train", "out.toml", "--resume", "--set", "data.train=[\"broken.jsonl\"]"], &["broken.jsonl:2"])
}

#[test]
fn a_pair_without_difference_is_counted_and_left_out() -> Outcome {
    let bench = Bench::new()?;
    let mut alike = pair(20);
    alike["insecure"] = alike["secure"].clone();
    let good: String = (0..6).map(|n| format!("{}\n", pair(n))).collect();
    bench.file("mixed.jsonl", &format!("{good}{alike}\n"))?;
    let config = bench.config(Run { steps: 2, ..Run::LPO })?;
    let said = bench.finishes(&["train", &config, "--set", "data.train=[\"mixed.jsonl\"]"])?;
    assert!(
        said.contains("7 rows: 6 examples used") && said.contains("1 pair without difference, first p-20"),
        "{said}"
    );
    Ok(())
}

#[test]
fn bad_configurations_end_in_one_message() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run::LPO)?;
    let text = std::fs::read_to_string(bench.path(&config))?;
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "dtype = \"f32\"\nadapter = ",
            "dtype = \"nf4\"\nadapter = { kind = \"none\" } #",
            &["bad.toml", "it needs an adapter"],
        ),
        ("batch = 5", "bach = 5", &["bad.toml", "`bach`", "did you mean `batch`?"]),
        ("[checkpoint]", "[chekpoint]", &["bad.toml", "did you mean `checkpoint`?"]),
        ("kind = \"lpo\"", "kind = \"lop\"", &["bad.toml", "did you mean `lpo`?"]),
        ("r = 4", "rank = 4", &["bad.toml", "`rank`"]),
        ("batch = 5", "batch = 0", &["bad.toml", "optim.batch"]),
        ("[optim]", "[optim", &["bad.toml: line 14"]),
        ("steps = 150", "", &["bad.toml", "one of epochs and steps"]),
        ("path = \"model\"", "", &["bad.toml", "missing field `path`"]),
    ];
    for (from, to, expect) in cases {
        assert!(text.contains(from), "{from} is not in {text}");
        bench.file("bad.toml", &text.replacen(from, to, 1))?;
        bench.refuses(&["train", "bad.toml"], expect)?;
    }
    let overrides: [(&str, &[&str]); 12] = [
        ("optim.bach=5", &["did you mean `batch`?"]),
        ("objective.bta=1.0", &["`bta`", "did you mean `beta`?"]),
        ("optim.learning-rate=nan", &["optim.learning-rate is NaN"]),
        ("optim.batch=9000000000000000000", &["optim.batch is 9000000000000000000, expected at most"]),
        ("optim.batch=-1", &["out.toml", "-1"]),
        ("model.adapter.r=1000000000000", &["adapter rank 1000000000000"]),
        ("model.adapter.r=0", &["adapter rank 0"]),
        ("model.adapter.targets=[\"wq\"]", &["\"wq\" matches no module", "q_proj"]),
        ("model.path=absent", &["cannot read absent/config.json"]),
        ("model.init-adapter=absent", &["cannot read absent/adapter_config.json"]),
        ("data.oversample={ by = [\"cwe\"], minimum = 900000000000 }", &["data.oversample.minimum is 900000000000"]),
        ("optim.steps", &["expected key=VALUE"]),
    ];
    for (item, expect) in overrides {
        bench.refuses(&["train", &config, "--set", item], expect)?;
    }
    bench.refuses(&["train", "absent.toml"], &["absent.toml: cannot read"])
}

#[test]
fn a_loss_that_is_no_number_names_its_samples() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { steps: 60, ..Run::SFT })?;
    let flags = ["optim.learning-rate=10", "optim.weight-decay=100", "optim.clip-norm=0", "optim.warmup-ratio=0"];
    let mut arguments = vec!["train", &config];
    arguments.extend(flags.iter().flat_map(|set| ["--set", set]));
    let output = bench.run(&arguments)?;
    let said = one_message(&output)?;
    assert!(said.contains("diverged.json") && said.contains("optim.learning-rate"), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(bench.path("out/diverged.json"))?)?;
    let step = record["step"].as_u64().unwrap_or(0);
    assert_eq!(bench.metrics("out")?.len() as u64 + 1, step);
    assert_eq!(record["samples"].as_array().map(Vec::len), Some(5), "{record}");
    // The checkpoint before it is whole.
    assert!(!bench.path("out/model").exists());
    Ok(())
}
