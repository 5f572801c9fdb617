//! What no check foresaw: a panic, or libtorch out of memory, still ends in one message and exit 2.

use super::{exit, terminal};
use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

/// Where the last panic was. It is said only when it ends the program: some are caught and become errors.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Runs the program; a panic becomes one message.
pub(crate) fn caught(program: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) =
            info.location().map(ToString::to_string).unwrap_or_default();
    }));
    // Nothing of the program is used after a panic, and files appear whole or not at all.
    panic::catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|payload| {
        let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
        terminal::say(&message(&said(payload.as_ref()), &place));
        ExitCode::from(exit::FAILED)
    })
}

/// What a panic said.
pub(crate) fn said(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".into())
}

/// One line: libtorch appends a C++ stack to what it says, and its binding escapes the line ends.
fn message(said: &str, place: &str) -> String {
    let first = said.split('\n').next().unwrap_or_default();
    let first = first.split("\\n").next().unwrap_or_default();
    let first = first.rsplit_once("value: Torch(\"").map_or(first, |(_, torch)| torch).trim_end_matches("\")");
    if ["can't allocate memory", "out of memory", "not enough memory"].iter().any(|m| first.contains(m)) {
        return format!(
            "rampart: not enough memory ({first}): lower optim.micro-tokens, data.max-tokens or --max-new-tokens, or \
             take a smaller model"
        );
    }
    format!("rampart: {first} (at {place}): this is a mistake in the program, please report it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line() {
        let unwrap = "called `Result::unwrap()` on an `Err` value: Torch(\"";
        let memory = format!("{unwrap}[enforce fail] DefaultCPUAllocator: can't allocate memory\\nException ..\")");
        let cases = [
            (
                memory.as_str(),
                "rampart: not enough memory ([enforce fail] DefaultCPUAllocator: can't allocate memory):",
            ),
            (&format!("{unwrap}shape\")"), "rampart: shape (at a.rs:1): this is a mistake"),
            ("index\nmore", "rampart: index (at a.rs:1): this is a mistake"),
        ];
        for (said, expect) in cases {
            let message = message(said, "a.rs:1");
            assert!(message.starts_with(expect) && !message.contains('\n'), "{message}");
        }
    }
}
