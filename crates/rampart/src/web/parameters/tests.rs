use super::*;
use crate::web::Limits;
use serde_json::json;
use std::time::Duration;

fn limits() -> Limits {
    Limits {
        body: 1 << 20,
        new_tokens: 500,
        samples: 8,
        time: Duration::from_secs(1),
        queue: 1,
        parallel: 1,
        context: 1024,
        connections: 1,
        grace: Duration::ZERO,
    }
}

fn read(api: Api, json: &Value) -> Result<Request, String> {
    Request::read(api, json.to_string().as_bytes(), &limits()).map_err(|f| f.json()["error"].to_string())
}

#[test]
fn prompts_of_every_form() {
    let cases = [
        (json!("a"), Some(Question::Texts(vec!["a".into()]))),
        (json!(["a", "b"]), Some(Question::Texts(vec!["a".into(), "b".into()]))),
        (json!([1, 2]), Some(Question::Tokens(vec![vec![1, 2]]))),
        (json!([[1], [2, 3]]), Some(Question::Tokens(vec![vec![1], vec![2, 3]]))),
        (json!(["a", 1]), None),
        (json!([1, -2]), None),
        (json!([[1], []]), None),
        (json!([]), None),
        (json!(7), None),
        (json!(null), None),
        (json!({}), None),
    ];
    for (prompt, expect) in cases {
        let read = read(Api::Completions, &json!({ "prompt": prompt }));
        assert_eq!(read.ok().map(|r| r.question), expect, "{prompt}");
    }
}

#[test]
fn settings_are_read_or_refused_by_name() {
    // (endpoint, settings, None or what the refusal says)
    let chat = json!({ "messages": [{ "role": "user", "content": "x" }] });
    let text = json!({ "prompt": "x" });
    let cases = [
        (&text, json!({ "max_tokens": 500, "temperature": 0, "top_p": 0.5, "top_k": 3, "n": 8 }), ""),
        (&text, json!({ "max_tokens": null, "stop": null, "user": "u", "logprobs": null, "suffix": "" }), ""),
        (&text, json!({ "stop": ["a", "b"], "seed": -3, "stream": true, "echo": true }), ""),
        (&text, json!({ "presence_penalty": 0.0, "logit_bias": {}, "best_of": 1 }), ""),
        (&text, json!({ "max_tokens": 501 }), "max_tokens 501 is above this server's limit of 500"),
        (&text, json!({ "max_tokens": 0 }), "max_tokens must be at least 1"),
        (&text, json!({ "max_tokens": -1 }), "max_tokens is not a whole number from 0 up"),
        (&text, json!({ "max_tokens": "many" }), "max_tokens is not a whole number"),
        (&text, json!({ "temperature": -0.5 }), "temperature -0.5 is not a number from 0 up"),
        (&text, json!({ "temperature": "hot" }), "temperature is not a number"),
        (&text, json!({ "top_p": 0 }), "top_p 0 is not in (0, 1]"),
        (&text, json!({ "n": 9 }), "1 prompts with n = 9 are above this server's limit of 8"),
        (&text, json!({ "n": 0 }), "n must be at least 1"),
        (&text, json!({ "best_of": 3 }), "best_of 3 is not served here: ask for n = 3"),
        (&text, json!({ "temprature": 1 }), "unknown setting temprature: did you mean temperature?"),
        (&text, json!({ "tools": [1] }), "unknown setting tools"),
        (&text, json!({ "logprobs": 3 }), "logprobs is not served here"),
        (&text, json!({ "stop": [""] }), "a stop text is empty"),
        (&text, json!({ "stop": "x".repeat(300) }), "longer than 256 bytes"),
        (&text, json!({ "stop": vec!["x"; 17] }), "more than 16 stop texts"),
        (&text, json!({ "stop": [1] }), "stop is not a text"),
        (&text, json!({ "stream": "yes" }), "stream is not true or false"),
        (&text, json!({ "stream_options": { "include_usag": true } }), "unknown setting include_usag: did you mean"),
        (&text, json!({ "seed": 1.5 }), "seed is not a whole number"),
        (&text, json!({ "model": 3 }), "model is not a string"),
        (&chat, json!({ "max_completion_tokens": 3, "tools": [], "response_format": { "type": "text" } }), ""),
        (&chat, json!({ "tool_choice": "none", "modalities": ["text"], "logprobs": false }), ""),
        (&chat, json!({ "tools": [{ "type": "function" }] }), "tools is not served here"),
        (&chat, json!({ "response_format": { "type": "json_object" } }), "response_format is not served here"),
        (&chat, json!({ "echo": true }), "unknown setting echo"),
    ];
    for (base, more, expect) in cases {
        let api = if base["prompt"].is_string() { Api::Completions } else { Api::Chat };
        let mut all = base.clone();
        for (key, value) in more.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        match read(api, &all) {
            Ok(_) => assert_eq!(expect, "", "{more} was taken"),
            Err(said) => assert!(!expect.is_empty() && said.contains(expect), "{more}: {said}"),
        }
    }
}

#[test]
fn what_is_not_said_is_as_openai_has_it() {
    let text = read(Api::Completions, &json!({ "prompt": "x" })).expect("a request");
    assert_eq!((text.params.max_new_tokens, text.params.temperature, text.params.top_p), (16, 1.0, 1.0));
    assert!(!text.seeded && !text.stream && !text.usage && !text.echo && text.model.is_none());
    let chat = json!({ "messages": [{ "role": "developer", "content": [
        { "type": "text", "text": "a" }, { "type": "text", "text": "b" }] }] });
    let chat = read(Api::Chat, &chat).expect("a request");
    assert_eq!(chat.params.max_new_tokens, 500);
    assert_eq!(chat.question, Question::Talk(vec![Message::new("system", "ab")]));
}

#[test]
fn messages_that_are_none() {
    let cases = [
        (json!([]), "messages is empty"),
        (json!("x"), "not a list"),
        (json!([3]), "message 0 is not an object"),
        (json!([{ "content": "x" }]), "message 0 has no role"),
        (json!([{ "role": "user" }]), "message 0 has no content"),
        (json!([{ "role": "user", "content": [{ "type": "image_url" }] }]), "message 0 has a part that is not text"),
        (json!([{ "role": "user", "content": "x", "tool_calls": [1] }]), "message 0 has tool_calls"),
    ];
    for (messages, expect) in cases {
        let said = read(Api::Chat, &json!({ "messages": messages })).expect_err("no conversation");
        assert!(said.contains(expect), "{said}");
    }
    for body in ["", "{", "[]", "\u{0}", "{\"prompt\":\"x\"} x"] {
        assert!(Request::read(Api::Completions, body.as_bytes(), &limits()).is_err(), "{body:?}");
    }
}
