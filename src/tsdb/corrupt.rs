//! What is wrong with bytes, and where.

/// Bytes that cannot be what they should be. Whoever knows the file or object adds its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} at byte {at}: {flaw}")]
pub struct Corrupt {
    /// Which part of a file, such as `series` or `symbols`.
    pub part: &'static str,
    /// Where the part begins, in its file.
    pub at: u64,
    pub flaw: Flaw,
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// So many bytes from the part's beginning are needed to go on: of bytes that were fetched by a guess, fetch
    /// that many again; of a whole file, it is cut off.
    #[error("ends early, {needs} bytes are needed")]
    Truncated { needs: u64 },
    #[error("checksum is {stored:08x}, of the bytes {computed:08x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("magic number is {0:08x}")]
    Magic(u32),
    #[error("version {0} is unknown")]
    Version(u8),
    #[error("{0}")]
    Invalid(&'static str),
}

impl Corrupt {
    pub(crate) fn new(part: &'static str, at: u64, flaw: Flaw) -> Self {
        Self { part, at, flaw }
    }

    pub(crate) fn invalid(part: &'static str, at: u64, why: &'static str) -> Self {
        Self::new(part, at, Flaw::Invalid(why))
    }

    /// How many bytes from the part's beginning would have sufficed to go on, where the bytes were too few.
    #[must_use]
    pub fn needs(&self) -> Option<u64> {
        match self.flaw {
            Flaw::Truncated { needs } => Some(needs),
            _ => None,
        }
    }
}
