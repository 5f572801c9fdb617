//! The grammars: which one reads a file, and how patterns are written in it.

use ast_grep_core::{
    Language as PatternLanguage, Pattern, PatternError,
    matcher::PatternBuilder,
    tree_sitter::{LanguageExt, StrDoc, TSLanguage},
};
use lexicon::Language;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::borrow::Cow;

/// A grammar. A language may have several: TypeScript in `.ts` and `.tsx` files cannot be read by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// C.
    C,
    /// C++.
    Cpp,
    /// Go.
    Go,
    /// Java.
    Java,
    /// JavaScript with JSX.
    JavaScript,
    /// Python, for rules that users add; our own read ruff's tree.
    Python,
    /// Ruby.
    Ruby,
    /// TypeScript without JSX.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
}

impl Dialect {
    /// Every grammar, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::C,
        Self::Cpp,
        Self::Go,
        Self::Java,
        Self::JavaScript,
        Self::Python,
        Self::Ruby,
        Self::TypeScript,
        Self::Tsx,
    ];

    /// The grammar of a file, by its name.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let extension = path.rsplit_once('.')?.1;
        if extension == "tsx" {
            return Some(Self::Tsx);
        }
        Some(match Language::from_extension(extension)? {
            Language::Python => Self::Python,
            Language::C => Self::C,
            Language::Cpp => Self::Cpp,
            Language::Go => Self::Go,
            Language::Java => Self::Java,
            Language::JavaScript => Self::JavaScript,
            Language::TypeScript => Self::TypeScript,
            Language::Ruby => Self::Ruby,
        })
    }

    /// The language it is a grammar of.
    #[must_use]
    pub const fn language(self) -> Language {
        match self {
            Self::C => Language::C,
            Self::Cpp => Language::Cpp,
            Self::Go => Language::Go,
            Self::Java => Language::Java,
            Self::JavaScript => Language::JavaScript,
            Self::Python => Language::Python,
            Self::Ruby => Language::Ruby,
            Self::TypeScript | Self::Tsx => Language::TypeScript,
        }
    }

    /// The grammar that rules of this one are written in: C++ takes C's rules, TypeScript those of JavaScript.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::Cpp => Some(Self::C),
            Self::TypeScript => Some(Self::JavaScript),
            // By way of TypeScript.
            Self::Tsx => Some(Self::TypeScript),
            _ => None,
        }
    }

    pub(super) fn grammar(self) -> TSLanguage {
        match self {
            Self::C => tree_sitter_c::LANGUAGE.into(),
            Self::Cpp => tree_sitter_cpp::LANGUAGE.into(),
            Self::Go => tree_sitter_go::LANGUAGE.into(),
            Self::Java => tree_sitter_java::LANGUAGE.into(),
            Self::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Self::Python => tree_sitter_python::LANGUAGE.into(),
            Self::Ruby => tree_sitter_ruby::LANGUAGE.into(),
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "tsx" => Self::Tsx,
            other => {
                let language: Language = other.parse().ok()?;
                *Self::ALL.iter().find(|d| d.language() == language)?
            }
        })
    }
}

impl<'de> Deserialize<'de> for Dialect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| {
            D::Error::custom(format!(
                "unknown language {name:?}: expected one of c, cpp, go, java, javascript, python, ruby, typescript, tsx"
            ))
        })
    }
}

impl PatternLanguage for Dialect {
    fn expando_char(&self) -> char {
        match self {
            // Letters of an identifier there; `$` is none.
            Self::C | Self::Cpp => '\u{10000}',
            Self::Go | Self::Python | Self::Ruby => 'µ',
            Self::Java | Self::JavaScript | Self::TypeScript | Self::Tsx => '$',
        }
    }

    fn pre_process_pattern<'q>(&self, query: &'q str) -> Cow<'q, str> {
        let expando = self.expando_char();
        if expando == '$' {
            return Cow::Borrowed(query);
        }
        let mut out = String::with_capacity(query.len() + 4);
        let mut rest = query;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let dollars = rest[at..].len() - rest[at..].trim_start_matches('$').len();
            rest = &rest[at + dollars..];
            // `$NAME`, `$_`, `$$$` and `$$$NAME` are the pattern's; a `$` before anything else is the language's own.
            let named = rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
            let sign = if named || dollars == 3 { expando } else { '$' };
            out.extend(std::iter::repeat_n(sign, dollars));
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    fn kind_to_id(&self, kind: &str) -> u16 {
        self.grammar().id_for_node_kind(kind, true)
    }

    fn field_to_id(&self, field: &str) -> Option<u16> {
        self.grammar().field_id_for_name(field).map(std::num::NonZero::get)
    }

    fn build_pattern(&self, builder: &PatternBuilder) -> Result<Pattern, PatternError> {
        builder.build(|source| StrDoc::try_new(source, *self))
    }
}

impl LanguageExt for Dialect {
    fn get_ts_language(&self) -> TSLanguage {
        self.grammar()
    }
}
