//! Programming languages, by the names the data sets use.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A programming language that pairs, prompts and lessons may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python 3.
    #[default]
    Python,
    /// C.
    C,
    /// C++.
    Cpp,
    /// Go.
    Go,
    /// Java.
    Java,
    /// JavaScript, JSX included.
    JavaScript,
    /// Ruby.
    Ruby,
    /// TypeScript, TSX included.
    TypeScript,
}

impl Language {
    /// All languages, in the order reports list them.
    pub const ALL: &[Self] =
        &[Self::Python, Self::C, Self::Cpp, Self::Go, Self::Java, Self::JavaScript, Self::Ruby, Self::TypeScript];

    /// Name as people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::C => "C",
            Self::Cpp => "C++",
            Self::Go => "Go",
            Self::Java => "Java",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Ruby => "Ruby",
        }
    }

    /// Name as it stands on disk and in a Markdown fence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Go => "go",
            Self::Java => "java",
            Self::JavaScript => "javascript",
            Self::Ruby => "ruby",
            Self::TypeScript => "typescript",
        }
    }

    /// Extension of its files, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Python => "py",
            Self::JavaScript => "js",
            Self::TypeScript => "ts",
            Self::Ruby => "rb",
            other => other.name(),
        }
    }

    /// Language of a file by its extension, without the dot.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "py" | "pyi" | "pyw" => Self::Python,
            "c" | "h" => Self::C,
            "cc" | "cpp" | "cxx" | "hpp" | "hh" | "hxx" => Self::Cpp,
            "go" => Self::Go,
            "java" => Self::Java,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "rb" | "rake" => Self::Ruby,
            "ts" | "tsx" | "mts" | "cts" => Self::TypeScript,
            _ => return None,
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A language name that is not in [`Language::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {0:?}: expected one of python, c, cpp, go, java, javascript, ruby, typescript")]
pub struct UnknownLanguage(pub String);

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let lower = s.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "python" | "py" | "python3" => Self::Python,
            "c" => Self::C,
            "cpp" | "c++" => Self::Cpp,
            "go" | "golang" => Self::Go,
            "java" => Self::Java,
            "javascript" | "js" | "jsx" => Self::JavaScript,
            "ruby" | "rb" => Self::Ruby,
            "typescript" | "ts" | "tsx" => Self::TypeScript,
            _ => return Err(UnknownLanguage(s.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for &language in Language::ALL {
            assert_eq!(language.name().parse(), Ok(language));
            assert_eq!(Language::from_extension(language.extension()), Some(language));
        }
        assert!("cobol".parse::<Language>().is_err());
    }
}
