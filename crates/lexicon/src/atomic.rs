//! Whole or absent: files appear under their name only when complete and on disk.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// A file could not be written; nothing was left under its name.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct WriteError {
    /// The file.
    pub path: String,
    /// What the system said.
    pub source: io::Error,
}

/// Writes a file through a temporary neighbour, `fsync` and rename, creating its folder.
///
/// # Errors
/// [`WriteError`] when any step fails (a full disk, a missing permission); the old content, if any, is untouched.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    let attempt = || -> io::Result<()> {
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder)?;
        {
            let mut buffer = io::BufWriter::with_capacity(1 << 16, file.as_file_mut());
            fill(&mut buffer)?;
            buffer.flush()?;
        }
        file.as_file().sync_all()?;
        // Temporary files are private; a result is for whoever may read the folder.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path).map_err(|e| e.error)?;
        if let Ok(handle) = fs::File::open(folder) {
            // The rename itself must reach the disk; some file systems refuse to sync a folder, which is no loss.
            let _ = handle.sync_all();
        }
        Ok(())
    };
    attempt().map_err(|source| WriteError { path: path.display().to_string(), source })
}

/// [`write_with`] for bytes already at hand.
///
/// # Errors
/// See [`write_with`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_with(path, |w| w.write_all(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_writer_leaves_the_old_file() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("deep/a.txt");
        write(&path, b"old").map_err(io::Error::other)?;
        let failed = write_with(&path, |w| {
            w.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err_and(|e| e.to_string().contains("disk full")));
        assert_eq!(fs::read(&path)?, b"old");
        assert_eq!(fs::read_dir(folder.path().join("deep"))?.count(), 1, "no temporary file stays");
        Ok(())
    }
}
