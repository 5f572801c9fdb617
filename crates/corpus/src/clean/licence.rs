//! Which licences a set may hold: SPDX expressions come in, whether a row may stay goes out.

use spdx::{Expression, LicenseId, ParseMode, exception_id, license_id};

/// The licences that are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    ids: Vec<LicenseId>,
}

/// A name that is no licence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no SPDX licence identifier: write such as MIT, Apache-2.0 or BSD-3-Clause")]
pub struct UnknownLicence(pub String);

impl Allowed {
    /// Licences by their SPDX identifiers.
    ///
    /// # Errors
    /// [`UnknownLicence`] for the first that is none.
    pub fn new(names: &[String]) -> Result<Self, UnknownLicence> {
        let one = |name: &String| license_id(name.trim()).ok_or_else(|| UnknownLicence(name.clone()));
        Ok(Self { ids: names.iter().map(one).collect::<Result<_, _>>()? })
    }

    /// Whether an expression can be satisfied by allowed licences alone. An exception (`WITH`) only adds permissions. What
    /// states nothing, or nothing known, is not allowed.
    #[must_use]
    pub fn permits(&self, expression: &str) -> bool {
        // Names as files of others write them: `Apache2`, `GPL v3` are told apart from nothing.
        let Ok(parsed) = Expression::parse_mode(expression.trim(), ParseMode::LAX) else { return false };
        parsed.evaluate(|wanted| {
            let with = wanted.addition.is_none()
                || wanted.addition.as_ref().is_some_and(|a| exception_id(&a.to_string()).is_some());
            with && wanted.license.id().is_some_and(|id| self.ids.contains(&id))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_by_what_is_allowed() -> Result<(), UnknownLicence> {
        let allowed = Allowed::new(&["MIT".into(), "Apache-2.0".into()])?;
        for (expression, expect) in [
            ("MIT", true),
            ("MIT OR GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR GPL-2.0-only) AND Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0-only", false),
            ("", false),
            ("see LICENSE", false),
            ("MIT OR", false),
        ] {
            assert_eq!(allowed.permits(expression), expect, "{expression:?}");
        }
        assert_eq!(Allowed::new(&["MTI".into()]), Err(UnknownLicence("MTI".into())));
        Ok(())
    }
}
