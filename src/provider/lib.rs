//! What resources are on real platforms: certificates (`tls`), and processes, files and buckets of this machine (`local`).

pub mod local;
mod properties;
mod tls;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use local::supervisor;
pub use tls::Tls;

/// Tells the time; tests turn it.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// What the providers of one fleet need to know.
#[derive(Clone)]
pub struct Config {
    /// Where the fleet keeps logs, buckets and the supervisor's socket, absolute.
    pub data_dir: PathBuf,
    /// This tks: what components, the supervisor and the ingress are run with.
    pub executable: PathBuf,
    pub clock: Clock,
}

impl Config {
    /// A configuration with the system's clock.
    pub fn new(data_dir: impl Into<PathBuf>, executable: impl Into<PathBuf>) -> Self {
        let clock = Arc::new(jiff::Timestamp::now);
        Self {
            data_dir: data_dir.into(),
            executable: executable.into(),
            clock,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("executable", &self.executable)
            .finish_non_exhaustive()
    }
}

/// The providers of one fleet, each with the kinds it serves.
#[must_use]
pub fn registry(config: Config) -> Vec<Arc<dyn plan::Provider>> {
    vec![
        Arc::new(Tls::new(config.clock.clone())),
        Arc::new(local::Local::new(config)),
    ]
}
