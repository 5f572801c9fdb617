//! Replies on disk under the hash of their questions.
//!
//! A folder of files, `ab/abcd….json`, each written whole or not at all. A question is all that is sent (address, model,
//! settings, prompt, number of the sample) and never the key. Whoever asks again gets the same reply, for nothing.

use crate::{CacheError, Error, Result, Usage, ask::hash};
use lexicon::{FORMAT, FinishReason, atomic};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the cache holds of a reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Kept {
    pub(crate) text: String,
    pub(crate) finish_reason: FinishReason,
    pub(crate) answered_by: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) time: u64,
    pub(crate) attempts: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    format: u32,
    question: Value,
    reply: Kept,
}

/// A folder of replies.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in a folder, which is made with its first entry.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self, question: &Value) -> PathBuf {
        let hash = hash(question.to_string().as_bytes());
        self.folder.join(&hash[..2]).join(format!("{hash}.json"))
    }

    /// The reply to a question. An entry that is damaged, or belongs to another question, is none: it is asked again.
    pub(crate) fn get(&self, question: &Value) -> Option<Kept> {
        let entry: Entry = serde_json::from_slice(&fs::read(self.file(question)).ok()?).ok()?;
        (entry.format == FORMAT && entry.question == *question).then_some(entry.reply)
    }

    pub(crate) fn put(&self, question: Value, reply: Kept) -> Result<()> {
        let file = self.file(&question);
        atomic::write_with(&file, |out| {
            serde_json::to_writer(&mut *out, &Entry { format: FORMAT, question, reply })
                .map_err(std::io::Error::from)?;
            out.write_all(b"\n")
        })
        .map_err(|e| Error::Cache(Arc::new(CacheError(e))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_kept_is_found_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(&folder.path().join("deep/cache"));
        let (question, other) = (json!({ "b": 1, "a": "é" }), json!({ "b": 2 }));
        let reply = Kept {
            text: "x\n".into(),
            finish_reason: FinishReason::Stop,
            answered_by: None,
            usage: Usage::default(),
            time: 3,
            attempts: 1,
        };
        assert_eq!(cache.get(&question), None);
        cache.put(question.clone(), reply.clone()).expect("written");
        assert_eq!((cache.get(&question), cache.get(&other)), (Some(reply), None));
        fs::copy(cache.file(&question), folder.path().join("copy")).expect("copied");
        fs::create_dir_all(cache.file(&other).parent().expect("a folder")).expect("made");
        fs::rename(folder.path().join("copy"), cache.file(&other)).expect("moved");
        assert_eq!(cache.get(&other), None, "an entry under another question's name");
        fs::write(cache.file(&question), "{\"format\":1,").expect("damaged");
        assert_eq!(cache.get(&question), None);
    }
}
