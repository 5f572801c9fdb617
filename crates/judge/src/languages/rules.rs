//! Rules as data: YAML in ast-grep's form comes in, what can be matched goes out.
//!
//! `metadata.rampart` holds what ast-grep does not know: what a captured variable must hold for the match to count (see
//! [`Condition`]), and what a finding says of itself. Unknown keys there are refused, as ast-grep refuses its own.

use super::{
    dialect::Dialect,
    flow::{Flow, Level},
};
use crate::native::Rule;
use aho_corasick::AhoCorasick;
use ast_grep_config::{GlobalRules, RuleConfig, SerializableRuleConfig, Severity as Said};
use ast_grep_core::Matcher;
use include_dir::{Dir, include_dir};
use lexicon::{Confidence, Language, Severity};
use regex::Regex;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{LazyLock, OnceLock},
};
use tree_sitter::Node;

static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/rules");

/// A text that is no rule.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {message}")]
pub struct RuleError {
    /// Where it stands.
    pub file: String,
    /// What is wrong, and what is expected.
    pub message: String,
}

/// `metadata`, as far as it is read here; ecosystems put more into it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    cwe: serde_json::Value,
    rampart: Keys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    severity: Option<Severity>,
    confidence: Option<Confidence>,
    /// What the rule looks for, where no rule for Python has its name.
    what: Option<String>,
    /// Words of which a file must have one before anything is matched.
    words: Vec<String>,
    /// What captured variables must hold.
    flow: BTreeMap<String, Wanted>,
    /// Must match somewhere in the file.
    in_file: Option<String>,
    /// Must match nowhere in the file.
    not_in_file: Option<String>,
    /// Must match in the innermost function around.
    in_function: Option<String>,
    /// Must match nowhere in the innermost function around.
    not_in_function: Option<String>,
    /// The captured variable whose place the finding has; the whole match where absent.
    at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Wanted {
    is: Option<Holds>,
    like: Option<String>,
    unlike: Option<String>,
    via: Option<String>,
    from: Option<String>,
    clean: Option<String>,
    guard: Option<String>,
    exceeds: Option<String>,
    reaches: Option<String>,
    extends: Option<String>,
}

/// What a value may be asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Holds {
    /// Constant.
    Literal,
    /// Not constant.
    Open,
    /// A caller's, or a request's.
    Foreign,
    /// A request's.
    Request,
    /// Constant text and something that is not constant, put together.
    Built,
    /// A caller's, even where its type is a number's: it may be too great.
    ForeignNumber,
    /// Asked about by no condition further down.
    Unchecked,
}

/// What a captured variable must hold.
#[derive(Debug)]
struct Condition {
    variable: String,
    is: Option<Holds>,
    /// Matches its constant text.
    like: Option<Regex>,
    unlike: Option<Regex>,
    /// Matches the name of a function it came through.
    via: Option<Regex>,
    /// Matches a name it came through.
    from: Option<Regex>,
    /// Names of functions that make it harmless.
    clean: Option<Regex>,
    /// A condition before it that speaks of it and matches makes it harmless.
    guard: Option<Regex>,
    /// Variable with the array whose size a number must be greater than.
    exceeds: Option<String>,
    /// Variable with the array that an index must leave.
    reaches: Option<String>,
    /// Variable whose text this one's begins with, and goes on as a field of it.
    extends: Option<String>,
}

/// A rule for one grammar.
pub(super) struct Compiled {
    pub(super) id: String,
    pub(super) cwe: Vec<u32>,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) message: String,
    pub(super) config: RuleConfig<Dialect>,
    pub(super) at: Option<String>,
    conditions: Vec<Condition>,
    in_file: Option<Regex>,
    not_in_file: Option<Regex>,
    in_function: Option<Regex>,
    not_in_function: Option<Regex>,
}

/// Rules for one grammar, found by the kind of node they match.
pub(super) struct Set {
    pub(super) rules: Vec<Compiled>,
    /// Rules by the number of a kind.
    pub(super) by_kind: Vec<Vec<usize>>,
    words: Option<AhoCorasick>,
    /// The rule of each word.
    owner: Vec<usize>,
    /// Rules that name no words.
    always: Vec<bool>,
}

/// Rules of all languages, made ready when a language is first met.
pub struct Rules {
    texts: Vec<SerializableRuleConfig<Dialect>>,
    own: bool,
    sets: [OnceLock<Set>; Dialect::ALL.len()],
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("len", &self.texts.len()).finish_non_exhaustive()
    }
}

/// Our own rules for languages other than Python.
#[must_use]
pub fn own() -> &'static Rules {
    static OWN: LazyLock<Rules> = LazyLock::new(|| {
        let texts = FILES.dirs().flat_map(Dir::files);
        let texts = texts.filter_map(|f| f.contents_utf8()).filter_map(|text| parse(text).ok()).flatten();
        Rules { texts: texts.collect(), own: true, sets: Default::default() }
    });
    &OWN
}

fn parse(text: &str) -> Result<Vec<SerializableRuleConfig<Dialect>>, String> {
    ast_grep_config::from_multiple(text).map_err(|e| e.to_string())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        at = cause.source();
    }
    text
}

impl Rules {
    /// Reads rules that users wrote: names of files and their texts.
    ///
    /// # Errors
    /// [`RuleError`] at the first rule that is none, so that no rule is left out in silence.
    pub fn read(files: &[(String, String)]) -> Result<Self, RuleError> {
        let mut rules = Self { texts: Vec::new(), own: false, sets: Default::default() };
        for (file, text) in files {
            let wrong = |message: String| RuleError { file: file.clone(), message };
            for rule in parse(text).map_err(wrong)? {
                if rule.id.trim().is_empty() {
                    return Err(wrong("a rule has no id: findings and suppressions call it by that".to_owned()));
                }
                let unread = [("files", rule.files.is_some()), ("ignores", rule.ignores.is_some())];
                if let Some((key, _)) = unread.iter().find(|(_, given)| *given) {
                    let instead = "leave out files with `exclude` in .rampart.toml";
                    return Err(wrong(format!("{}: `{key}` is not supported here: {instead}", rule.id)));
                }
                Compiled::new(&rule, rule.language, false).map_err(|e| wrong(format!("{}: {e}", rule.id)))?;
                rules.texts.push(rule);
            }
        }
        Ok(rules)
    }

    /// Number of rules, one a language.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one of the rules reads files of a grammar.
    #[must_use]
    pub fn speak_of(&self, dialect: Dialect) -> bool {
        self.texts.iter().any(|rule| reads(dialect, rule.language))
    }

    pub(super) fn set(&self, dialect: Dialect) -> &Set {
        self.sets[dialect as usize].get_or_init(|| {
            let texts = self.texts.iter().filter(|rule| reads(dialect, rule.language));
            // What a child's grammar does not know is left to the parent's; the parent's own was read when it was given.
            Set::new(texts.filter_map(|rule| Compiled::new(rule, dialect, self.own).ok()).collect(), dialect)
        })
    }
}

/// Whether a grammar takes rules that were written for another.
fn reads(dialect: Dialect, written: Dialect) -> bool {
    std::iter::successors(Some(dialect), |d| d.parent()).any(|d| d == written)
}

impl Compiled {
    fn new(text: &SerializableRuleConfig<Dialect>, dialect: Dialect, own: bool) -> Result<Self, String> {
        let mut text = text.clone();
        text.language = dialect;
        let metadata: Metadata = match &text.metadata {
            Some(given) => {
                serde_json::to_value(given).and_then(serde_json::from_value).map_err(|e| format!("metadata: {e}"))?
            }
            None => Metadata::default(),
        };
        let keys = metadata.rampart;
        let regex = |pattern: &Option<String>| {
            pattern.as_deref().map(Regex::new).transpose().map_err(|e| format!("metadata.rampart: {e}"))
        };
        let conditions = keys.flow.iter().map(|(variable, wanted)| {
            Ok(Condition {
                variable: variable.clone(),
                is: wanted.is,
                like: regex(&wanted.like)?,
                unlike: regex(&wanted.unlike)?,
                via: regex(&wanted.via)?,
                from: regex(&wanted.from)?,
                clean: regex(&wanted.clean)?,
                guard: regex(&wanted.guard)?,
                exceeds: wanted.exceeds.clone(),
                reaches: wanted.reaches.clone(),
                extends: wanted.extends.clone(),
            })
        });
        let conditions: Vec<Condition> = conditions.collect::<Result<_, String>>()?;
        let shared = named(&text.id).filter(|_| own);
        let severity = keys.severity.or(shared.map(|r| r.severity)).unwrap_or(match text.severity {
            Said::Error => Severity::High,
            Said::Warning => Severity::Medium,
            Said::Info | Said::Hint | Said::Off => Severity::Low,
        });
        let mut cwe = numbers(&metadata.cwe);
        if let (true, Some(shared)) = (cwe.is_empty(), shared) {
            cwe = shared.cwe.to_vec();
        }
        let message = if text.message.is_empty() { text.id.clone() } else { text.message.clone() };
        let config = RuleConfig::try_from(text, &GlobalRules::default()).map_err(|e| chain(&e))?;
        let defined = config.matcher.defined_vars();
        let asked = conditions
            .iter()
            .flat_map(|c| [Some(&c.variable), c.exceeds.as_ref(), c.reaches.as_ref(), c.extends.as_ref()])
            .flatten()
            .chain(&keys.at);
        if let Some(unknown) = asked.into_iter().find(|v| !defined.contains(v.as_str())) {
            return Err(format!("metadata.rampart speaks of {unknown}, which the rule does not capture"));
        }
        Ok(Self {
            id: config.id.clone(),
            cwe,
            severity,
            confidence: keys.confidence.or(shared.map(|r| r.confidence)).unwrap_or(Confidence::Medium),
            message,
            at: keys.at.clone(),
            conditions,
            in_file: regex(&keys.in_file)?,
            not_in_file: regex(&keys.not_in_file)?,
            in_function: regex(&keys.in_function)?,
            not_in_function: regex(&keys.not_in_function)?,
            config,
        })
    }

    fn words(&self) -> Vec<String> {
        let metadata = self.config.metadata.as_ref().and_then(|m| serde_json::to_value(m).ok());
        let metadata: Option<Metadata> = metadata.and_then(|m| serde_json::from_value(m).ok());
        metadata.map(|m| m.rampart.words).unwrap_or_default()
    }

    /// Whether what was captured holds what the rule asks for; if so, where what is foreign enters.
    pub(super) fn holds<'t>(
        &self,
        node: Node<'t>,
        flow: &Flow<'t>,
        captured: &dyn Fn(&str) -> Vec<Node<'t>>,
    ) -> Option<Option<std::ops::Range<usize>>> {
        let source = flow.tree.source;
        let absent = |regex: &Option<Regex>, text: &str| regex.as_ref().is_none_or(|r| !r.is_match(text));
        if self.in_file.as_ref().is_some_and(|r| !r.is_match(source)) || !absent(&self.not_in_file, source) {
            return None;
        }
        if self.not_in_function.is_some() || self.in_function.is_some() {
            let function = flow.tree.text(flow.tree.function_of(node));
            if !absent(&self.not_in_function, function)
                || self.in_function.as_ref().is_some_and(|r| !r.is_match(function))
            {
                return None;
            }
        }
        let mut origin = None;
        for condition in &self.conditions {
            let nodes = captured(&condition.variable);
            let found = nodes.iter().find_map(|n| condition.holds(*n, flow, captured))?;
            origin = origin.or(found);
        }
        Some(origin)
    }
}

impl Condition {
    fn holds<'t>(
        &self,
        node: Node<'t>,
        flow: &Flow<'t>,
        captured: &dyn Fn(&str) -> Vec<Node<'t>>,
    ) -> Option<Option<std::ops::Range<usize>>> {
        if self.is == Some(Holds::Unchecked) {
            return flow.unchecked(node).then_some(None);
        }
        if let Some(array) = self.exceeds.as_ref().or(self.reaches.as_ref()) {
            let number: u64 = flow.tree.text(node).parse().ok()?;
            let size = captured(array).into_iter().find_map(|a| flow.size(a))?;
            return (number > size || (self.reaches.is_some() && number == size)).then_some(None);
        }
        if let Some(other) = &self.extends {
            let text = flow.tree.text(node);
            let begins = |n: Node<'t>| {
                let other = flow.tree.text(n).trim_matches(['(', ')']);
                text.strip_prefix(other).is_some_and(|rest| rest.starts_with('.') || rest.starts_with("->"))
            };
            return captured(other).into_iter().any(begins).then_some(None);
        }
        let value = flow.value(node, self.clean.as_ref());
        let is = match self.is {
            None => true,
            Some(Holds::Literal) => value.level == Level::Constant,
            Some(Holds::Open) => value.level > Level::Constant,
            Some(Holds::Foreign) => value.level >= Level::Parameter,
            Some(Holds::Request) => value.level == Level::Request,
            Some(Holds::Built) => value.built && value.level > Level::Constant,
            Some(Holds::ForeignNumber) => value.level > Level::Constant || flow.is_parameter(node),
            Some(Holds::Unchecked) => false,
        };
        let matches = |regex: &Option<Regex>, text: &str| regex.as_ref().is_none_or(|r| r.is_match(text));
        let said = is
            && matches(&self.like, &value.text)
            && self.unlike.as_ref().is_none_or(|r| !r.is_match(&value.text))
            && self.via.as_ref().is_none_or(|via| value.calls.iter().any(|call| via.is_match(call)))
            && self.from.as_ref().is_none_or(|from| value.names.iter().any(|name| from.is_match(name)))
            && self.guard.as_ref().is_none_or(|guard| !flow.guarded(node, &value.names, guard));
        said.then_some(value.origin)
    }
}

impl Set {
    fn new(rules: Vec<Compiled>, dialect: Dialect) -> Self {
        let mut by_kind = vec![Vec::new(); dialect.grammar().node_kind_count()];
        let (mut words, mut owner) = (Vec::new(), Vec::new());
        let mut always = vec![true; rules.len()];
        for (number, rule) in rules.iter().enumerate() {
            for kind in
                rule.config.matcher.potential_kinds().into_iter().flat_map(|kinds| kinds.iter().collect::<Vec<_>>())
            {
                if let Some(list) = by_kind.get_mut(kind) {
                    list.push(number);
                }
            }
            for word in rule.words() {
                words.push(word);
                owner.push(number);
                always[number] = false;
            }
        }
        let words = AhoCorasick::new(&words).ok().filter(|_| !words.is_empty());
        if words.is_none() {
            always.fill(true);
        }
        Self { rules, by_kind, words, owner, always }
    }

    /// Which rules may speak of a text at all.
    pub(super) fn awake(&self, source: &str) -> Vec<bool> {
        let mut awake = self.always.clone();
        if let Some(words) = &self.words {
            for found in words.find_overlapping_iter(source) {
                awake[self.owner[found.pattern().as_usize()]] = true;
            }
        }
        awake
    }
}

/// The rule for Python with a name.
fn named(id: &str) -> Option<&'static Rule> {
    crate::native::rules::ALL.iter().copied().find(|r| r.id == id)
}

/// Numbers in `CWE-89`, `[89, 564]`, `["CWE-89: ..."]`.
fn numbers(value: &serde_json::Value) -> Vec<u32> {
    match value {
        serde_json::Value::Number(n) => n.as_u64().and_then(|n| u32::try_from(n).ok()).into_iter().collect(),
        serde_json::Value::String(text) => {
            let digits = text.trim().to_ascii_uppercase();
            let digits = digits.trim_start_matches("CWE-").split(|c: char| !c.is_ascii_digit()).next().map(str::parse);
            digits.and_then(Result::ok).into_iter().collect()
        }
        serde_json::Value::Array(all) => all.iter().flat_map(numbers).collect(),
        _ => Vec::new(),
    }
}

/// A weakness that rules for other languages look for.
#[derive(Clone, Debug)]
pub struct Described {
    /// What it is; the one for Python where there is one of that name.
    pub rule: &'static Rule,
    /// Languages with a rule of that name, and what the finding says there.
    pub languages: Vec<(Language, String)>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// What our own rules for other languages look for, each name once.
#[must_use]
pub fn described() -> &'static [Described] {
    static ALL: LazyLock<Vec<Described>> = LazyLock::new(|| {
        let texts = &own().texts;
        let ids: BTreeSet<&str> = texts.iter().map(|t| t.id.as_str()).collect();
        let describe = |id: &str| {
            let alike: Vec<_> = texts.iter().filter(|t| t.id == id).collect();
            let first = alike.first()?;
            let rule = named(id).or_else(|| leak(first))?;
            let mut languages: Vec<(Language, String)> = Vec::new();
            for dialect in Dialect::ALL {
                let written = alike.iter().find(|t| reads(dialect, t.language));
                let language = dialect.language();
                if let Some(written) = written.filter(|_| !languages.iter().any(|(l, _)| *l == language)) {
                    languages.push((language, written.message.clone()));
                }
            }
            Some(Described { rule, languages })
        };
        ids.into_iter().filter_map(describe).collect()
    });
    &ALL
}

/// A description that lives as long as the program, made once a name.
fn leak(text: &SerializableRuleConfig<Dialect>) -> Option<&'static Rule> {
    let compiled = Compiled::new(text, text.language, true).ok()?;
    let metadata: Metadata = serde_json::to_value(text.metadata.as_ref()?).and_then(serde_json::from_value).ok()?;
    let keep = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    Some(Box::leak(Box::new(Rule {
        id: keep(compiled.id),
        cwe: Box::leak(compiled.cwe.into_boxed_slice()),
        severity: compiled.severity,
        confidence: compiled.confidence,
        what: keep(metadata.rampart.what?),
        why: keep(text.note.clone()?),
        remedy: keep(compiled.message),
        checks: &[],
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_rules_are_whole() {
        let mut wrong = String::new();
        for file in FILES.dirs().flat_map(Dir::files) {
            let name = file.path().display();
            let rules = match parse(file.contents_utf8().unwrap_or_default()) {
                Ok(rules) => rules,
                Err(error) => {
                    wrong += &format!("{name}: {error}\n");
                    continue;
                }
            };
            for text in rules {
                let id = &text.id;
                let rule = match Compiled::new(&text, text.language, true) {
                    Ok(rule) => rule,
                    Err(error) => {
                        wrong += &format!("{name}: {id}: {error}\n");
                        continue;
                    }
                };
                let said = named(id).is_some() || leak(&text).is_some();
                let whole = !rule.cwe.is_empty() && !text.message.is_empty() && said && !rule.words().is_empty();
                if !whole {
                    wrong += &format!("{name}: {id} lacks a CWE, a message, words, or what and note\n");
                }
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
    }
}
