//! The supervisor's socket, `<data_dir>/supervisor.sock`, mode 0600.
//!
//! The path of a Unix socket has room for 108 bytes (104 on macOS) and a data folder may be longer, so a long one is reached through
//! a symbolic link in a fresh folder that only its maker can enter.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const NAME: &str = "supervisor.sock";

/// With room for what [`bind`] puts in between.
const LONGEST: usize = 70;

/// A folder under a path that is short enough, as long as this value lives.
struct Short {
    path: PathBuf,
    _link: Option<TempDir>,
}

impl Short {
    fn of(folder: &Path) -> io::Result<Self> {
        if folder.as_os_str().len() <= LONGEST {
            return Ok(Self {
                path: folder.to_owned(),
                _link: None,
            });
        }
        // Not the TMPDIR of the environment: it may be long, too.
        let link = tempfile::Builder::new().prefix("tks-").tempdir_in("/tmp")?;
        let path = link.path().join("d");
        symlink(folder, &path)?;
        Ok(Self {
            path,
            _link: Some(link),
        })
    }
}

/// Listens, in place of whatever an earlier supervisor left.
pub(super) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    // Made where nobody else can enter and moved when its mode is right: it is never open to others, nor ever missing.
    let closed = tempfile::Builder::new()
        .prefix(".sock-")
        .tempdir_in(data_dir)?;
    let short = Short::of(closed.path())?;
    let listener = UnixListener::bind(short.path.join("s"))?;
    let made = closed.path().join("s");
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    fs::rename(made, path(data_dir))?;
    Ok(listener)
}

/// Connects to the supervisor of a fleet.
pub(super) fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Short::of(data_dir)?.path.join(NAME))
}

/// Where the socket is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_no_hindrance_and_a_stale_socket_neither() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120)).join("y".repeat(120));
        fs::create_dir_all(&long).unwrap();
        assert_eq!(connect(&long).unwrap_err().kind(), io::ErrorKind::NotFound);
        drop(bind(&long).unwrap());
        assert_eq!(
            connect(&long).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let listener = bind(&long).unwrap();
        connect(&long).unwrap();
        listener.accept().unwrap();
        let mode = fs::metadata(path(&long)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(&long).unwrap().count(),
            1,
            "nothing but the socket is left"
        );
    }
}
