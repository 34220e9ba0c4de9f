//! The postings offset table: `u32 length | u32 count, count × (uvarint 2, name, value, uvarint offset) | u32 crc`.
//!
//! Version 2 writes it sorted by name and value, with the postings in the same order: only every 32nd place is kept, and
//! postings end where the next ones begin. Version 1 gives no order: there the whole table is kept.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::corrupt::Corrupt;
use crate::cursor::{Cursor, section};
use crate::index::Version;

use super::SAMPLING;

const PART: &str = "postings offset table";
/// The length before the content.
const LENGTH: usize = 4;

/// One line of the table.
struct Line<'a> {
    name: &'a str,
    value: &'a str,
    offset: u64,
}

fn line<'a>(cursor: &mut Cursor<'a>) -> Result<Line<'a>, Corrupt> {
    if cursor.uvarint()? != 2 {
        return Err(cursor.invalid("a key is not of a name and a value"));
    }
    Ok(Line {
        name: cursor.text()?,
        value: cursor.text()?,
        offset: cursor.uvarint()?,
    })
}

#[derive(Debug)]
pub(super) enum Offsets {
    Sampled(Sampled),
    Whole(Whole),
}

impl Offsets {
    pub(super) fn load(
        version: Version,
        at: u64,
        bytes: Bytes,
        postings_end: u64,
    ) -> Result<Self, Corrupt> {
        match version {
            Version::V1 => Whole::load(at, &bytes, postings_end).map(Self::Whole),
            Version::V2 => Sampled::load(at, bytes, postings_end).map(Self::Sampled),
        }
    }

    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Sampled(table) => Box::new(table.names.iter().map(|name| &*name.name)),
            Self::Whole(table) => Box::new(table.0.keys().map(|name| &**name)),
        }
    }

    pub(super) fn values(&self, name: &str) -> LabelValues<'_> {
        LabelValues(match self {
            Self::Sampled(table) => match table.name(name) {
                Some(name) => Walk::Table(table.walk(name, 0)),
                None => Walk::None,
            },
            Self::Whole(table) => match table.0.get(name) {
                Some(values) => Walk::Map(values.iter()),
                None => Walk::None,
            },
        })
    }

    pub(super) fn find(&self, name: &str, value: &str) -> Result<Option<Range<u64>>, Corrupt> {
        match self {
            Self::Sampled(table) => table.find(name, value),
            Self::Whole(table) => Ok(table.0.get(name).and_then(|v| v.get(value)).cloned()),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Sampled(table) => table
                .names
                .iter()
                .map(|name| size_of::<Name>() + name.name.len() + name.places.capacity() * 4)
                .sum(),
            Self::Whole(table) => table
                .0
                .iter()
                .flat_map(|(name, values)| {
                    values
                        .keys()
                        .map(move |value| value.len() + name.len() + 64)
                })
                .sum(),
        }
    }
}

/// The table of version 2.
#[derive(Debug)]
pub(super) struct Sampled {
    /// Where the table begins in the header.
    at: u64,
    bytes: Bytes,
    /// Where the lines end in `bytes`.
    end: usize,
    /// Where the last postings end in the index.
    postings_end: u64,
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    name: Box<str>,
    /// The places in the table of every [`SAMPLING`]th value.
    places: Vec<u32>,
    values: usize,
}

impl Sampled {
    fn load(at: u64, bytes: Bytes, postings_end: u64) -> Result<Self, Corrupt> {
        let content = section(PART, at, &bytes)?;
        let mut cursor = Cursor::new(PART, at, content);
        let count = cursor.u32()?;
        let mut names: Vec<Name> = Vec::new();
        let (mut last, mut last_offset) = ("", 0);
        for _ in 0..count {
            let place = LENGTH + cursor.position();
            let Line {
                name,
                value,
                offset,
            } = line(&mut cursor)?;
            let same_name = names.last().is_some_and(|last| *last.name == *name);
            let ascending = match names.last() {
                None => true,
                Some(_) if same_name => last < value,
                Some(before) => *before.name < *name,
            };
            if !ascending || offset < last_offset || offset > postings_end {
                return Err(cursor.invalid("lines are not in their order"));
            }
            (last, last_offset) = (value, offset);
            if !same_name {
                names.push(Name {
                    name: name.into(),
                    places: Vec::new(),
                    values: 0,
                });
            }
            if let Some(name) = names.last_mut() {
                if name.values % SAMPLING == 0 {
                    let place = u32::try_from(place);
                    name.places
                        .push(place.map_err(|_| cursor.invalid("longer than 4 GiB"))?);
                }
                name.values += 1;
            }
        }
        names
            .iter_mut()
            .for_each(|name| name.places.shrink_to_fit());
        let end = LENGTH + cursor.position();
        Ok(Self {
            at,
            bytes,
            end,
            postings_end,
            names,
        })
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let at = self.names.binary_search_by(|n| (*n.name).cmp(name)).ok()?;
        self.names.get(at)
    }

    /// Walks the values of a name from its sample number `sample` on.
    fn walk(&self, name: &Name, sample: usize) -> TableWalk<'_> {
        let place = name
            .places
            .get(sample)
            .map_or(self.end, |place| *place as usize);
        let lines = self.bytes.get(place..self.end).unwrap_or_default();
        TableWalk {
            cursor: Cursor::new(PART, self.at, lines),
            left: name.values.saturating_sub(sample * SAMPLING),
            ahead: None,
            postings_end: self.postings_end,
        }
    }

    fn find(&self, name: &str, value: &str) -> Result<Option<Range<u64>>, Corrupt> {
        let Some(name) = self.name(name) else {
            return Ok(None);
        };
        let after = name.places.partition_point(|place| {
            let lines = self
                .bytes
                .get(*place as usize..self.end)
                .unwrap_or_default();
            line(&mut Cursor::new(PART, self.at, lines)).is_ok_and(|line| line.value <= value)
        });
        let Some(sample) = after.checked_sub(1) else {
            return Ok(None);
        };
        for found in self.walk(name, sample).take(SAMPLING) {
            let (text, range) = found?;
            if text >= value {
                return Ok((text == value).then_some(range));
            }
        }
        Ok(None)
    }
}

#[derive(Debug)]
struct TableWalk<'a> {
    cursor: Cursor<'a>,
    left: usize,
    /// The next line, which was read for where the postings of the last one end.
    ahead: Option<(&'a str, u64)>,
    postings_end: u64,
}

impl<'a> TableWalk<'a> {
    fn read(&mut self) -> Result<(&'a str, Range<u64>), Corrupt> {
        let (value, start) = match self.ahead.take() {
            Some(ahead) => ahead,
            None => line(&mut self.cursor).map(|line| (line.value, line.offset))?,
        };
        let end = if self.cursor.is_empty() {
            self.postings_end
        } else {
            let next = line(&mut self.cursor)?;
            self.ahead = Some((next.value, next.offset));
            next.offset
        };
        Ok((value, start..end))
    }
}

impl<'a> Iterator for TableWalk<'a> {
    type Item = Result<(&'a str, Range<u64>), Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let found = self.read();
        if found.is_err() {
            self.left = 0;
        }
        Some(found)
    }
}

/// The values of one label, in order, each with the bytes of its postings in the index.
#[derive(Debug)]
pub struct LabelValues<'a>(Walk<'a>);

#[derive(Debug)]
enum Walk<'a> {
    None,
    Table(TableWalk<'a>),
    Map(std::collections::btree_map::Iter<'a, Box<str>, Range<u64>>),
}

impl<'a> Iterator for LabelValues<'a> {
    type Item = Result<(&'a str, Range<u64>), Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::None => None,
            Walk::Table(walk) => walk.next(),
            Walk::Map(values) => values
                .next()
                .map(|(value, range)| Ok((&**value, range.clone()))),
        }
    }
}

/// The table of version 1: name, value, bytes of the postings.
#[derive(Debug)]
pub(super) struct Whole(BTreeMap<Box<str>, BTreeMap<Box<str>, Range<u64>>>);

impl Whole {
    fn load(at: u64, bytes: &[u8], postings_end: u64) -> Result<Self, Corrupt> {
        let content = section(PART, at, bytes)?;
        let mut cursor = Cursor::new(PART, at, content);
        let count = cursor.u32()?;
        let mut lines = Vec::new();
        for _ in 0..count {
            lines.push(line(&mut cursor)?);
        }
        lines.sort_by_key(|line| line.offset);
        let starts = lines.iter().map(|line| line.offset).skip(1);
        let ends: Vec<u64> = starts.chain([postings_end]).collect();
        let mut table: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (line, end) in lines.iter().zip(ends) {
            if line.offset > end {
                return Err(cursor.invalid("postings begin behind their end"));
            }
            table
                .entry(line.name.into())
                .or_default()
                .insert(line.value.into(), line.offset..end);
        }
        Ok(Self(table))
    }
}
