use super::*;
use crate::Tokenizer;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat")
}

fn golden() -> Json {
    let text = fs::read_to_string(folder().join("golden.json")).expect("made by make_chat.py");
    serde_json::from_str(&text).expect("JSON")
}

fn messages(talk: &Json) -> Vec<Message> {
    let turns = talk.as_array().expect("turns");
    turns.iter().map(|m| Message::new(m["role"].as_str().unwrap_or(""), m["content"].as_str().unwrap_or(""))).collect()
}

fn chat(source: &str) -> Chat {
    let tokens = BTreeMap::from([("bos_token".into(), "<s>".into()), ("eos_token".into(), "</s>".into())]);
    Chat::new(source.to_owned(), tokens, Path::new("template"), None).expect("Jinja")
}

#[test]
fn conversations_read_as_transformers_renders_and_encodes_them() {
    let (golden, tokenizer) = (golden(), Tokenizer::load(&folder()).expect("a tokenizer"));
    let bos = tokenizer.bos.expect("this tokenizer begins sequences");
    let cases = golden["cases"].as_array().expect("cases");
    assert!(cases.len() >= 40);
    for case in cases {
        let (template, talk) = (case["template"].as_str().unwrap_or(""), case["talk"].as_str().unwrap_or(""));
        let chat = chat(golden["templates"][template].as_str().unwrap_or(""));
        let rendered = chat.render(&messages(&golden["talks"][talk]), case["open"] == true);
        match case["error"].as_str() {
            Some(why) => {
                let said = rendered.expect_err("transformers refuses it").to_string();
                assert!(said.ends_with(&format!("refuses these messages: {why}")), "{said}");
            }
            None => {
                let text = rendered.unwrap_or_else(|e| panic!("{template}/{talk}: {e}"));
                assert_eq!(text, case["text"], "{template}/{talk}");
                let theirs: Vec<u32> =
                    case["ids"].as_array().expect("ids").iter().map(|id| id.as_u64().unwrap_or(0) as u32).collect();
                assert_eq!(tokenizer.encode(&text).expect("ids"), theirs, "{template}/{talk}");
                // The double beginning: what a trainer gets that puts one before a text which has one already.
                let ours = tokenizer.encode_start(&text).expect("ids");
                let rest = theirs.strip_prefix(&[bos]).unwrap_or(&theirs);
                assert_eq!(ours[0], bos, "{template}/{talk}: no beginning token");
                assert_eq!(&ours[1..], rest, "{template}/{talk}: not exactly one beginning token");
            }
        }
    }
}

#[test]
fn one_beginning_token_whoever_writes_it() {
    let t = Tokenizer::load(&folder()).expect("a tokenizer");
    let (bos, a) = (t.bos.expect("a beginning"), t.encode("a").expect("an id")[0]);
    for (text, expect) in [("a", vec![bos, a]), ("<s>a", vec![bos, a]), ("<s><s>a", vec![bos, a]), ("", vec![bos])] {
        assert_eq!(t.encode_start(text).expect("ids"), expect, "{text:?}");
    }
    let mut none = t;
    none.bos = None;
    assert_eq!(none.encode_start("<s>a").expect("ids"), [bos, a], "a text's own token stays");
}

#[test]
fn a_turn_ends_as_the_template_ends_it() {
    let golden = golden();
    let ends = [("chatml", "<|im_end|>\n"), ("headers", "<|eot|>\n"), ("inst", "</s>")];
    for (template, end) in ends {
        assert_eq!(chat(golden["templates"][template].as_str().unwrap_or("")).turn_end().expect("an end"), end);
    }
}

#[test]
fn templates_are_found_where_models_keep_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = |config: &str, file: Option<&str>| {
        fs::write(dir.path().join("tokenizer_config.json"), config).expect("written");
        let jinja = dir.path().join("chat_template.jinja");
        let _ = fs::remove_file(&jinja);
        if let Some(source) = file {
            fs::write(jinja, source).expect("written");
        }
        let chat = Chat::load(dir.path(), None);
        chat.map(|c| c.map(|c| c.render(&[Message::new("user", "x")], false).unwrap_or_else(|e| e.to_string())))
            .unwrap_or_else(|e| Some(e.to_string().rsplit('/').next().unwrap_or("").to_owned()))
    };
    let check = |config: &str, file: Option<&str>, expect: Option<&str>| {
        let found = text(config, file);
        assert!(
            match (&found, expect) {
                (Some(found), Some(expect)) => found.contains(expect),
                (found, expect) => found.is_none() && expect.is_none(),
            },
            "{config} {file:?}: {found:?}"
        );
    };
    check("{}", None, None);
    check(r#"{"chat_template":null}"#, None, None);
    check(r#"{"chat_template":"{{ eos_token }}!","eos_token":{"content":"E"}}"#, None, Some("E!"));
    let several = r#"{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}"#;
    check(several, None, Some("d"));
    check(several, Some("own"), Some("own"));
    check(r#"{"chat_template":"{% if %}"}"#, None, Some("tokenizer_config.json: its chat template is not Jinja"));
    check("{", None, Some("tokenizer_config.json: not JSON"));
    check("{}", Some("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"), Some("fuel"));
    check("{}", Some("{{ strftime_now('%Y') }}"), Some("strftime_now"));
}

#[test]
fn today_is_what_the_caller_says() {
    // (seconds, `date -u -d @seconds +FORMAT`)
    let cases = [
        (0, "%d %b %Y", "01 Jan 1970"),
        (951_782_400, "%Y-%m-%d", "2000-02-29"),
        (1_709_251_199, "%B %d, %y %H:%M:%S", "February 29, 24 23:59:59"),
        (4_107_542_400, "%Y-%m-%d %% %q %", "2100-03-01 % %q %"),
    ];
    for (now, form, expect) in cases {
        let template = format!("{{{{ strftime_now({form:?}) }}}}");
        let chat = Chat::new(template, BTreeMap::new(), Path::new("t"), Some(now)).expect("Jinja");
        assert_eq!(chat.render(&[], false).expect("a date"), expect);
    }
}
