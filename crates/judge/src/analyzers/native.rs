//! Our own rules as an analyzer.

use super::{Analyzer, Error, File, Scanned, Settings};
use crate::{
    languages::{Rules, scan_file},
    native, parallel,
};
use lexicon::Language;
use std::sync::Arc;

/// See [`crate::native`] and [`crate::languages`].
#[derive(Clone, Debug, Default)]
pub struct Native {
    rules: Option<Arc<Rules>>,
}

impl Native {
    pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
        Ok(Box::new(Self { rules: settings.rules.clone() }))
    }
}

impl Analyzer for Native {
    fn name(&self) -> &'static str {
        native::ANALYZER
    }

    fn languages(&self) -> &'static [Language] {
        Language::ALL
    }

    fn scan(&self, files: &[File]) -> Result<Vec<Scanned>, Error> {
        let look = |file: &File| {
            let scan = scan_file(file.path, file.source, self.rules.as_deref());
            Scanned { findings: scan.findings, skipped: scan.syntax_error.map(|e| e.to_string()) }
        };
        Ok(parallel::map(files, look, || ()))
    }
}
