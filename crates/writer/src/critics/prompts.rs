//! What critics and the writer are asked with: templates, built in or a user's.

use crate::ask::hash;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::Value;
use std::{fs, path::Path};

/// Templates by name.
const TEMPLATES: [(&str, &str); 4] = [
    ("safety", include_str!("../../templates/safety.jinja")),
    ("helpfulness", include_str!("../../templates/helpfulness.jinja")),
    ("summary", include_str!("../../templates/summary.jinja")),
    ("revise", include_str!("../../templates/revise.jinja")),
];

/// Steps that a template may take, so that every one ends.
const FUEL: u64 = 1_000_000;

/// The prompts' templates.
#[derive(Debug)]
pub struct Prompts {
    environment: Environment<'static>,
    digest: String,
}

impl Prompts {
    /// The built-in ones, or the files of a folder: `safety.jinja`, `helpfulness.jinja`, `summary.jinja`, `revise.jinja`.
    ///
    /// # Errors
    /// A sentence with the file and, where it is no template, its line. Each is rendered once, so that a variable that does
    /// not exist is found before anything is asked.
    pub fn load(folder: Option<&Path>) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let mut all = String::new();
        for (name, built_in) in TEMPLATES {
            let source = match folder {
                None => built_in.to_owned(),
                Some(folder) => {
                    let file = folder.join(name).with_extension("jinja");
                    fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?
                }
            };
            all.push_str(&source);
            environment.add_template_owned(name, source).map_err(|e| format!("template {name}: {e}"))?;
        }
        let prompts = Self { environment, digest: hash(all.as_bytes())[..12].to_owned() };
        let (said, looked) = (
            serde_json::json!([{ "critic": "c", "round": 1, "text": "t" }]),
            serde_json::json!([{ "tool": "t", "answer": "a" }]),
        );
        for (name, _) in TEMPLATES {
            prompts.render(
                name,
                &serde_json::json!({
                    "task": "t", "language": "python", "code": "c", "observation": "o", "past": said, "consulted": looked,
                    "tools": ["run"], "said": "s", "critiques": said, "summary": "s",
                }),
            )?;
        }
        Ok(prompts)
    }

    /// Writes the built-in templates into a folder, to be edited; what is there stays. Returns the files written.
    ///
    /// # Errors
    /// [`lexicon::atomic::WriteError`].
    pub fn write(folder: &Path) -> Result<Vec<std::path::PathBuf>, lexicon::atomic::WriteError> {
        let mut written = Vec::new();
        for (name, text) in TEMPLATES {
            let file = folder.join(name).with_extension("jinja");
            if !file.exists() {
                lexicon::atomic::write(&file, text.as_bytes())?;
                written.push(file);
            }
        }
        Ok(written)
    }

    /// Which prompts these are: the beginning of their SHA-256.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// A prompt.
    pub(super) fn render(&self, name: &str, values: &Value) -> Result<String, String> {
        let text = self.environment.get_template(name).and_then(|t| t.render(minijinja::Value::from_serialize(values)));
        text.map_err(|e| format!("template {name}: {e:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_checked_and_edited() {
        Prompts::load(None).expect("the built-in ones");
        let folder = tempfile::tempdir().expect("a folder");
        let said = Prompts::load(Some(folder.path())).expect_err("nothing there");
        assert!(said.contains("cannot read") && said.contains("safety.jinja"), "{said}");
        assert_eq!(Prompts::write(folder.path()).expect("written").len(), 4);
        let file = folder.path().join("safety.jinja");
        for (text, expect) in [
            ("Look: {{ code }}", ""),
            ("{{ cod }}", "undefined value"),
            ("{% for", "template safety"),
            ("{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}", "template safety"),
        ] {
            fs::write(&file, text).expect("written");
            match Prompts::load(Some(folder.path())) {
                Ok(_) => assert_eq!(expect, "", "{text}"),
                Err(said) => assert!(!expect.is_empty() && said.contains(expect), "{text}: {said}"),
            }
        }
        assert!(Prompts::write(folder.path()).expect("there").is_empty(), "what is there stays");
    }
}
