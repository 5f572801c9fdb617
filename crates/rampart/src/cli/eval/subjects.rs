//! Who is evaluated: models of this machine and models behind endpoints, in any mixture.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder, with adapters that are merged one after the other.
    Here { folder: PathBuf, adapters: Vec<PathBuf> },
    /// An endpoint's base address, and the model's name there.
    There { url: String, model: String },
}

/// One model of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) place: Place,
}

impl Subject {
    /// What a run's record calls it.
    pub(super) fn writer(&self) -> String {
        match &self.place {
            Place::Here { folder, .. } => folder.display().to_string(),
            Place::There { url, model } => format!("{url}#{model}"),
        }
    }
}

/// Reads `DIR`, `NAME=DIR`, `NAME=DIR+ADAPTER`, `NAME=URL#MODEL`, or with an endpoint `MODEL` and `NAME=MODEL`. A folder that
/// is there is taken by its own name, whatever is in it.
fn subject(text: &str, name: &str, endpoint: Option<&str>) -> Result<Subject> {
    let address = |t: &str| t.starts_with("http://") || t.starts_with("https://");
    let here = |folder: &Path, adapters| Place::Here { folder: folder.to_owned(), adapters };
    // Behind an endpoint a name is a name: only a folder with a model in it is one.
    let is_model = |path: &Path| if endpoint.is_some() { path.join("config.json").is_file() } else { path.is_dir() };
    if is_model(Path::new(text)) {
        return Ok(Subject { name: name.to_owned(), place: here(Path::new(text), Vec::new()) });
    }
    let named = text.split_once('=').filter(|(before, _)| !before.contains("://"));
    let (name, rest) = named.unwrap_or((name, text));
    let safe =
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) && !name.starts_with('.');
    ensure!(safe, "--model {text:?}: a name is made of letters, digits, '-', '_' and '.'");
    let place = if address(rest) {
        let (url, model) = rest
            .split_once('#')
            .filter(|(_, model)| !model.is_empty())
            .with_context(|| format!("--model {text:?}: an endpoint's model is written NAME=URL#MODEL"))?;
        Place::There { url: url.trim_end_matches('/').to_owned(), model: model.to_owned() }
    } else {
        let mut parts = rest.split('+').map(PathBuf::from);
        let folder = parts.next().unwrap_or_default();
        match endpoint {
            Some(url) if !is_model(&folder) => {
                ensure!(!rest.is_empty(), "--model {text:?}: the endpoint's model has no name");
                Place::There { url: url.trim_end_matches('/').to_owned(), model: rest.to_owned() }
            }
            _ => here(&folder, parts.collect()),
        }
    };
    Ok(Subject { name: name.to_owned(), place })
}

/// Reads every `--model`.
///
/// # Errors
/// Names that are none or twice there; an endpoint that nobody asks; adapters where it is not clear whose they are.
pub(super) fn read(
    models: &[String],
    name: &str,
    endpoint: Option<&str>,
    adapters: &[PathBuf],
) -> Result<Vec<Subject>> {
    let mut subjects: Vec<Subject> = models.iter().map(|m| subject(m, name, endpoint)).collect::<Result<_>>()?;
    let names: BTreeSet<&str> = subjects.iter().map(|s| s.name.as_str()).collect();
    ensure!(names.len() == subjects.len(), "two models have one name: write --model NAME=..");
    if let Some(url) = endpoint {
        ensure!(!subjects.is_empty(), "--endpoint {url}: say which of its models, with --model NAME");
        let asked =
            subjects.iter().any(|s| matches!(&s.place, Place::There { url: u, .. } if u == url.trim_end_matches('/')));
        ensure!(asked, "--endpoint {url} is asked by nobody: every --model is a folder here; write NAME={url}#MODEL");
    }
    if !adapters.is_empty() {
        let [Subject { place: Place::Here { adapters: own, .. }, .. }] = subjects.as_mut_slice() else {
            anyhow::bail!(
                "--adapter is for one model of this machine; with several write adapters as NAME=DIR+ADAPTER"
            );
        };
        own.extend_from_slice(adapters);
    }
    Ok(subjects)
}

/// Addresses that are asked, each once.
pub(super) fn addresses(subjects: &[Subject]) -> BTreeSet<String> {
    let url = |s: &Subject| match &s.place {
        Place::There { url, .. } => Some(url.clone()),
        Place::Here { .. } => None,
    };
    subjects.iter().filter_map(url).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_here_and_there() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.json"), "{}").expect("written");
        let dir = folder.path().display().to_string();
        let here = |adapters: &[&str]| Place::Here {
            folder: dir.clone().into(),
            adapters: adapters.iter().map(PathBuf::from).collect(),
        };
        let there = |url: &str, model: &str| Place::There { url: url.into(), model: model.into() };
        let at = Some("http://127.0.0.1:8000/v1/");
        let cases = [
            (dir.clone(), None, Ok(("model", here(&[])))),
            (format!("b={dir}"), None, Ok(("b", here(&[])))),
            (format!("b={dir}+a1+a2"), at, Ok(("b", here(&["a1", "a2"])))),
            ("https://x/v1#m".into(), None, Ok(("model", there("https://x/v1", "m")))),
            ("a=https://x/v1/?k=1#org/m:1".into(), None, Ok(("a", there("https://x/v1/?k=1", "org/m:1")))),
            ("tiny".into(), at, Ok(("model", there("http://127.0.0.1:8000/v1", "tiny")))),
            ("t=org/tiny+x".into(), at, Ok(("t", there("http://127.0.0.1:8000/v1", "org/tiny+x")))),
            ("a=https://x/v1".into(), None, Err("NAME=URL#MODEL")),
            ("a=https://x/v1#".into(), None, Err("NAME=URL#MODEL")),
            ("../a=tiny".into(), at, Err("a name is made of")),
            ("a=".into(), at, Err("has no name")),
        ];
        for (text, endpoint, expect) in cases {
            match (subject(&text, "model", endpoint), expect) {
                (Ok(s), Ok((name, place))) => assert_eq!((s.name.as_str(), s.place), (name, place), "{text}"),
                (Err(said), Err(expect)) => assert!(said.to_string().contains(expect), "{text}: {said}"),
                (got, expect) => panic!("{text}: {got:?} instead of {expect:?}"),
            }
        }
        let all = |models: &[&str], adapters: &[&str]| {
            let models: Vec<String> = models.iter().map(|&m| m.to_owned()).collect();
            let adapters: Vec<PathBuf> = adapters.iter().map(PathBuf::from).collect();
            read(&models, "model", at, &adapters).map_err(|e| e.to_string())
        };
        let both = all(&["t=tiny", &format!("l={dir}")], &[]).expect("two");
        assert_eq!(addresses(&both).len(), 1);
        for (models, adapters, expect) in [
            (&["a=x", "a=y"][..], &[][..], "one name"),
            (&[dir.as_str()], &[], "asked by nobody"),
            (&[], &[], "which of its models"),
            (&["x"], &["p"], "one model of this machine"),
        ] {
            let said = all(models, adapters).expect_err("refused");
            assert!(said.contains(expect), "{models:?}: {said}");
        }
    }
}
