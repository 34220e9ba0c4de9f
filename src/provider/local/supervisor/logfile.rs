//! The log of one process: appended to by the process itself, cut by the supervisor when it grows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What is left in the file and its predecessor together is at most twice this.
const LONGEST: u64 = 16 << 20;

/// Where the previous part of a log is.
pub(crate) fn previous(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Opens a log for a process, with its folder.
pub(super) fn open(log: &Path) -> io::Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(log)
}

/// Copies a log that is too long away and empties it: its writer appends, and so goes on at the new end. Lines written between the
/// copy and the cut are lost.
pub(super) fn rotate(log: &Path) -> io::Result<bool> {
    rotate_over(log, LONGEST)
}

fn rotate_over(log: &Path, longest: u64) -> io::Result<bool> {
    if fs::metadata(log)?.len() <= longest {
        return Ok(false);
    }
    fs::copy(log, previous(log))?;
    OpenOptions::new().write(true).open(log)?.set_len(0)?;
    Ok(true)
}

/// The last `lines` lines of what was written behind `from`; of the whole file if that is nothing.
pub(crate) fn tail(log: &Path, from: u64, lines: usize) -> String {
    const ENOUGH: u64 = 16 << 10;
    let read = |from: u64| -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(ENOUGH))))?;
        let mut bytes = Vec::new();
        file.take(ENOUGH).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut bytes = read(from).unwrap_or_default();
    if bytes.is_empty() {
        bytes = read(0).unwrap_or_default();
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_long_log_is_cut_while_its_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/c/p.log");
        let mut log = open(&path).unwrap();
        writeln!(log, "one").unwrap();
        assert!(!rotate_over(&path, 100).unwrap());
        assert!(rotate_over(&path, 2).unwrap());
        writeln!(log, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(previous(&path)).unwrap(), "one\n");
    }

    #[test]
    fn the_tail_is_of_the_present_run_if_it_said_anything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.log");
        fs::write(&path, "old\n1\n2\n3\n").unwrap();
        assert_eq!(tail(&path, 4, 2), "2\n3");
        assert_eq!(tail(&path, 10, 2), "2\n3");
        assert_eq!(tail(&path, 4, 9), "1\n2\n3");
        assert_eq!(tail(&dir.path().join("none"), 0, 9), "");
    }
}
