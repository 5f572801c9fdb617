//! A model of this machine as a writer.
#![cfg(feature = "torch")]

use models::{Compute, DeviceKind, Model, Precision, SamplingParams};
use std::{path::Path, sync::atomic::AtomicBool};
use writer::{Ask, Error, Local, Message, Parameters, Question, Writer};

#[test]
fn a_local_model_answers_as_it_generates() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
    let compute = Compute::choose(DeviceKind::Cpu, Precision::F32).expect("a processor");
    let model = Model::load(&folder, compute).expect("models/tiny");
    let local = Local { model: &model, chat: None, time: 7 };
    let ask = |question, max_tokens| Ask {
        question,
        parameters: Parameters { max_tokens, ..Parameters::default() },
        sample: 0,
        expect: None,
    };
    let talk = Question::Talk(vec![Message { role: "user".into(), content: "x".into() }]);
    let prompt = "def add(a, b):\n";
    let asks = [ask(Question::Text(prompt.into()), 12), ask(talk, 12), ask(Question::Text(prompt.into()), 5)];
    let mut replies = [None, None, None];
    local.write(&asks, &AtomicBool::new(false), &mut |i, reply| assert!(replies[i].replace(reply).is_none()));
    for (i, tokens) in [(0, 12), (2, 5)] {
        let params = SamplingParams { max_new_tokens: tokens, ..SamplingParams::default() };
        let alone = model.generate(&[prompt.to_owned()], &params, &mut |_| {}).expect("an answer").remove(0);
        let reply = replies[i].take().expect("heard of").expect("an answer");
        assert_eq!((reply.text, reply.finish), (alone.text, alone.finish));
        assert_eq!((reply.provenance.time, reply.provenance.usage.completion), (7, alone.tokens.len() as u64));
    }
    assert!(matches!(replies[1], Some(Err(Error::Setting(_)))), "a talk needs a template");
    local.write(&asks[..1], &AtomicBool::new(true), &mut |_, reply| assert_eq!(reply, Err(Error::Stopped)));
}
