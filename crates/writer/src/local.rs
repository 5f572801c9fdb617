//! A model of this machine as a writer.

use crate::{Ask, Error, Provenance, Question, Reply, Result, Usage, Writer, ask::hash, code};
use models::{Chat, Model, SamplingParams, chat::Message};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

/// Prompts that are sampled together; a stop is looked at between.
const TOGETHER: usize = 256;

/// A local model; conversations go through its chat template.
pub struct Local<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its template, where it has one.
    pub chat: Option<&'a Chat>,
    /// The present, in seconds since 1970: this crate has no clock for records.
    pub time: u64,
}

impl Local<'_> {
    fn text(&self, question: &Question) -> Result<String> {
        match question {
            Question::Text(text) => Ok(text.clone()),
            Question::Talk(messages) => {
                let Some(chat) = self.chat else {
                    return Err(Error::Setting("this model has no chat template: ask with a text".into()));
                };
                let messages: Vec<_> = messages.iter().map(|m| Message::new(&m.role, &m.content)).collect();
                chat.render(&messages, true).map_err(|e| Error::Model(e.to_string()))
            }
        }
    }

    fn together(&self, asks: &[(usize, &Ask, String)]) -> Result<Vec<(usize, Result<Reply>)>> {
        let p = &asks[0].1.parameters;
        let params = SamplingParams {
            samples: 1,
            max_new_tokens: p.max_tokens,
            temperature: p.temperature,
            top_k: p.top_k,
            top_p: p.top_p,
            stop: p.stop.clone(),
            // Rows draw by their place in the call: the same questions in the same order give the same answers.
            seed: p.seed,
            ..SamplingParams::default()
        };
        let texts: Vec<String> = asks.iter().map(|(_, _, text)| text.clone()).collect();
        let answers = self.model.generate(&texts, &params, &mut |_| {}).map_err(|e| Error::Model(e.to_string()))?;
        Ok(answers
            .into_iter()
            .map(|answer| {
                let (i, ask, text) = &asks[answer.prompt];
                let code = ask.expect.map(|e| code::fenced(&answer.text, e.language)).transpose();
                let reply = code.map_err(|why| Error::Unusable { answers: 1, why }).map(|code| Reply {
                    code,
                    finish: answer.finish,
                    provenance: Provenance {
                        endpoint: self.model.folder().display().to_string(),
                        model: "local".into(),
                        answered_by: None,
                        parameters: Value::Object(ask.settings(0)),
                        prompt_sha256: hash(text.as_bytes()),
                        time: self.time,
                        usage: Usage { prompt: 0, completion: answer.tokens.len() as u64, estimated: false },
                        attempts: 1,
                        cached: false,
                    },
                    text: answer.text,
                });
                (*i, reply)
            })
            .collect())
    }
}

impl Writer for Local<'_> {
    fn write(&self, asks: &[Ask], stop: &AtomicBool, each: &mut dyn FnMut(usize, Result<Reply>)) {
        let mut ready: Vec<(usize, &Ask, String)> = Vec::new();
        for (i, ask) in asks.iter().enumerate() {
            let text = self.text(&ask.question).and_then(|text| {
                // One that leaves no room must not take its neighbours along.
                self.model.room(&text).map_err(|e| Error::Room(e.to_string()))?;
                Ok(text)
            });
            match text {
                Ok(text) => ready.push((i, ask, text)),
                Err(error) => each(i, Err(error)),
            }
        }
        // Neighbours with the same settings are sampled together.
        let same = |a: &(usize, &Ask, String), b: &(usize, &Ask, String)| a.1.parameters == b.1.parameters;
        for run in ready.chunk_by(same).flat_map(|run| run.chunks(TOGETHER)) {
            if stop.load(Ordering::Relaxed) {
                run.iter().for_each(|(i, ..)| each(*i, Err(Error::Stopped)));
                continue;
            }
            match self.together(run) {
                Ok(replies) => replies.into_iter().for_each(|(i, reply)| each(i, reply)),
                Err(error) => run.iter().for_each(|(i, ..)| each(*i, Err(error.clone()))),
            }
        }
    }
}
