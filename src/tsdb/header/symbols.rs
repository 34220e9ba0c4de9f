//! The symbol table: `u32 length | u32 count, count × (uvarint length, text) | u32 crc`.

use bytes::Bytes;

use crate::corrupt::Corrupt;
use crate::cursor::{Cursor, section};
use crate::index::Version;

use super::SAMPLING;

const PART: &str = "symbols";
/// The length before the content.
const LENGTH: usize = 4;

#[derive(Debug)]
pub(crate) struct SymbolTable {
    version: Version,
    /// Where the table began in its index: version 1 counts symbols by their place there.
    index_at: u64,
    /// Where it begins in the header.
    at: u64,
    bytes: Bytes,
    /// Where the strings end in `bytes`.
    end: usize,
    count: u32,
    /// The places in `bytes` of every [`SAMPLING`]th symbol.
    places: Vec<u32>,
}

impl SymbolTable {
    pub(crate) fn load(
        version: Version,
        index_at: u64,
        at: u64,
        bytes: Bytes,
    ) -> Result<Self, Corrupt> {
        let content = section(PART, at, &bytes)?;
        let mut cursor = Cursor::new(PART, at, content);
        let count = cursor.u32()?;
        // A symbol takes a byte at least.
        if count as usize > cursor.remaining() {
            return Err(cursor.invalid("more symbols than its length allows"));
        }
        let mut places = Vec::with_capacity(count as usize / SAMPLING + 1);
        for ordinal in 0..count as usize {
            if ordinal % SAMPLING == 0 {
                let place = u32::try_from(LENGTH + cursor.position());
                places.push(place.map_err(|_| cursor.invalid("longer than 4 GiB"))?);
            }
            cursor.slice()?;
        }
        let end = LENGTH + cursor.position();
        Ok(Self {
            version,
            index_at,
            at,
            bytes,
            end,
            count,
            places,
        })
    }

    fn cursor(&self, place: usize) -> Cursor<'_> {
        let strings = self.bytes.get(place..self.end).unwrap_or_default();
        Cursor::new(PART, self.at, strings)
    }

    pub(crate) fn get(&self, symbol: u32) -> Result<&str, Corrupt> {
        match self.version {
            Version::V1 => self.at_place(symbol),
            Version::V2 => self.by_ordinal(symbol),
        }
    }

    fn by_ordinal(&self, symbol: u32) -> Result<&str, Corrupt> {
        let unknown =
            || Corrupt::invalid(PART, self.at, "a series names a symbol that is not there");
        if symbol >= self.count {
            return Err(unknown());
        }
        let ordinal = symbol as usize;
        let place = self.places.get(ordinal / SAMPLING).ok_or_else(unknown)?;
        let mut cursor = self.cursor(*place as usize);
        for _ in 0..ordinal % SAMPLING {
            cursor.slice()?;
        }
        cursor.text()
    }

    fn at_place(&self, symbol: u32) -> Result<&str, Corrupt> {
        let place = u64::from(symbol)
            .checked_sub(self.index_at)
            .and_then(|place| usize::try_from(place).ok())
            .filter(|place| (LENGTH + 4..self.end).contains(place))
            .ok_or_else(|| {
                Corrupt::invalid(PART, self.at, "a series names a symbol that is not there")
            })?;
        self.cursor(place).text()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Result<&str, Corrupt>> {
        let mut cursor = self.cursor(LENGTH + 4);
        (0..self.count).map(move |_| cursor.text())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }
}
