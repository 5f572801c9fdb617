//! Ctrl-C as a flag.

use super::terminal::say;
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// A flag that Ctrl-C and SIGTERM set; a second Ctrl-C ends at once.
pub(crate) fn flag() -> &'static AtomicBool {
    static FLAG: AtomicBool = AtomicBool::new(false);
    static SET: OnceLock<()> = OnceLock::new();
    SET.get_or_init(|| {
        // Without a handler Ctrl-C still ends the program; checkpoints on disk are whole either way.
        let _ = ctrlc::set_handler(|| {
            if FLAG.swap(true, Ordering::Relaxed) {
                quit();
            }
            say("\nstopping after this step (Ctrl-C again ends at once)");
        });
    });
    &FLAG
}

/// Ends at once, as the shell reports a program that Ctrl-C killed. Writes are atomic: nothing is left half-written.
#[expect(clippy::disallowed_methods, reason = "the second Ctrl-C asks for exactly this")]
fn quit() -> ! {
    std::process::exit(130)
}
