//! Whole or absent: files appear under their name only when complete and on disk.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// How the names of unfinished files begin; a killed process leaves them behind.
const PARTIAL: &str = ".partial-";

/// A file could not be written; nothing was left under its name.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct WriteError {
    /// The file.
    pub path: String,
    /// What the system said.
    pub source: io::Error,
}

/// Writes a file through a temporary neighbour, `fsync` and rename, creating its folder. A symbolic link keeps pointing
/// where it points; a device or pipe (`/dev/stdout`) is written to, never replaced.
///
/// # Errors
/// [`WriteError`] when any step fails (a full disk, a missing permission); the old content, if any, is untouched.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    let attempt = || -> io::Result<()> {
        let path: PathBuf = match fs::metadata(path) {
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() => return stream(path, fill),
            Ok(_) => path.canonicalize()?,
            Err(_) => path.to_owned(),
        };
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let fresh = !folder.exists();
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder)?;
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
        file.persist(&path).map_err(|e| e.error)?;
        // The rename itself must reach the disk, and so must a folder made for it.
        sync(folder);
        if fresh {
            folder.parent().into_iter().for_each(sync);
        }
        Ok(())
    };
    attempt().map_err(|source| WriteError { path: path.display().to_string(), source })
}

/// Writes straight to what is no file and cannot be replaced by one.
fn stream(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, fs::OpenOptions::new().write(true).open(path)?);
    fill(&mut out)?;
    out.flush()
}

/// Some file systems refuse to sync a folder, which is no loss.
fn sync(folder: &Path) {
    if let Ok(handle) = fs::File::open(folder) {
        let _ = handle.sync_all();
    }
}

/// Removes the unfinished files that a killed process left in a folder. For the one that owns the folder: another
/// process may be writing there.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            // What cannot be removed is untidy and harms nothing.
            let _ = fs::remove_file(entry.path());
        }
    }
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

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old")?;
        std::os::unix::fs::symlink(&real, &link)?;
        write(&link, b"new").map_err(io::Error::other)?;
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        assert_eq!(fs::read(&real)?, b"new");
        // Through a link of our own: should this fail, it is not the machine's device that is lost.
        let device = folder.path().join("full");
        std::os::unix::fs::symlink("/dev/full", &device)?;
        if Path::new("/dev/full").exists() {
            let said = write(&device, b"x").err().map(|e| e.to_string()).unwrap_or_default();
            assert!(said.contains("/full: No space left"), "{said}");
        }
        let said = write(folder.path(), b"x").err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("is a directory"), "{said}");
        Ok(())
    }

    #[test]
    fn a_sweep_takes_unfinished_files_alone() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(".partial-x"), "half")?;
        fs::write(folder.path().join("whole"), "")?;
        sweep(folder.path());
        sweep(&folder.path().join("absent"));
        let left: Vec<_> = fs::read_dir(folder.path())?.flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["whole"]);
        Ok(())
    }
}
