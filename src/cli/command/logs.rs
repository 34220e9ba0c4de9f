//! `tks logs`: what a pod wrote.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use provider::local::LogFile;

use crate::Exit;
use crate::args::LogsArgs;
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::Printer;

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &LogsArgs, _: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(args.path.as_deref(), &args.tree)?;
    let log = one(
        provider::local::logs(&fleet.live.data_dir, &args.name),
        &args.name,
    )?;
    print(&log.path, args.follow)?;
    Ok(Exit::Done)
}

fn one(mut logs: Vec<LogFile>, name: &str) -> Result<LogFile> {
    if logs.len() > 1 {
        let names: Vec<String> = logs.iter().map(full_name).collect();
        return Err(
            Failure::new(format!("`{name}` is several logs: {}", names.join(", ")))
                .help("name one of them"),
        );
    }
    logs.pop().ok_or_else(|| {
        Failure::new(format!("there is no log of `{name}`")).help("`tks status` lists the pods")
    })
}

fn full_name(log: &LogFile) -> String {
    let container = log
        .container
        .as_ref()
        .map(|name| format!("/{name}"))
        .unwrap_or_default();
    format!("{}/{}{container}", log.cluster, log.pod)
}

/// Copies the log to stdout; with `follow` until the process is stopped. A log that was rotated away begins anew.
fn print(path: &Path, follow: bool) -> Result<()> {
    let failed = |e: &std::io::Error| Failure::io(format!("cannot print {}", path.display()), e);
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let mut stdout = std::io::stdout().lock();
    let mut buffer = vec![0; 64 * 1024];
    let mut place = 0u64;
    loop {
        let read = file.read(&mut buffer).map_err(|e| failed(&e))?;
        if read > 0 {
            place += read as u64;
            let text = buffer.get(..read).unwrap_or_default();
            stdout
                .write_all(text)
                .and_then(|()| stdout.flush())
                .map_err(|e| failed(&e))?;
            continue;
        }
        if !follow {
            return Ok(());
        }
        std::thread::sleep(LOOK);
        let shrunk = std::fs::metadata(path).is_ok_and(|now| now.len() < place);
        if shrunk {
            file = File::open(path).map_err(|e| failed(&e))?;
            place = file.seek(SeekFrom::Start(0)).map_err(|e| failed(&e))?;
        }
    }
}
