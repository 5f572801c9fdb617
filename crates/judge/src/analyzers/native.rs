//! Our own rules as an analyzer.

use super::{Analyzer, Error, File, Scanned, Settings};
use crate::{native, parallel};

/// See [`crate::native`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Native {
    pub(super) fn open(_: &Settings) -> Result<Box<dyn Analyzer>, Error> {
        Ok(Box::new(Self))
    }
}

impl Analyzer for Native {
    fn name(&self) -> &'static str {
        native::ANALYZER
    }

    fn scan(&self, files: &[File]) -> Result<Vec<Scanned>, Error> {
        let look = |file: &File| {
            let scan = native::scan(file.path, file.source);
            Scanned { findings: scan.findings, skipped: scan.syntax_error.map(|e| e.to_string()) }
        };
        Ok(parallel::map(files, look, || ()))
    }
}
