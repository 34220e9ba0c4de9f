//! Several series, encoded one after the other.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::encode_varint;
use proto::thanos;

use super::chunk::Chunk;
use super::field;
use super::labels::Labels;

/// The key of a series in a batch, and in a frame of its own too.
pub(super) const SERIES: u8 = 0x0a;

/// Where a series lies in its batch.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Of its message.
    start: u32,
    /// Where its labels end and its chunks begin.
    chunks: u32,
    end: u32,
}

/// A message `SeriesBatch` in plain form, and where its series lie.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) bytes: Bytes,
    spans: Vec<Span>,
}

impl Batch {
    /// Looks at every byte; `None` for another form.
    pub(super) fn plain(bytes: Bytes) -> Option<Self> {
        let mut rest = &bytes[..];
        let mut spans = Vec::new();
        while !rest.is_empty() {
            let series = field::bytes(&mut rest, SERIES)??;
            let mut chunks = series;
            Labels::cut(&mut chunks)?;
            if !Chunk::are(chunks) {
                return None;
            }
            let end = bytes.len() - rest.len();
            spans.push(Span::before(end, series.len(), chunks.len())?);
        }
        Some(Self { bytes, spans })
    }

    /// Encoded, after what a careless peer sends is put in order.
    pub(crate) fn of(series: impl IntoIterator<Item = thanos::Series>) -> Option<Self> {
        let mut bytes = Vec::new();
        for mut series in series {
            crate::labels::normalise(&mut series.labels);
            bytes.push(SERIES);
            series.encode_length_delimited(&mut bytes).ok()?;
        }
        Self::plain(bytes.into())
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// About how many bytes are held.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + size_of_val(self.spans.as_slice())
    }

    /// The series at a place.
    pub(crate) fn get(&self, at: usize) -> Option<Series> {
        let span = self.spans.get(at)?;
        Some(Series {
            message: self.bytes.slice(span.start as usize..span.end as usize),
            chunks: (span.chunks - span.start) as usize,
        })
    }

    /// The labels of the series at a place.
    pub(crate) fn labels(&self, at: usize) -> Option<Labels<'_>> {
        let span = self.spans.get(at)?;
        let labels = self.bytes.get(span.start as usize..span.chunks as usize);
        Some(Labels(labels.unwrap_or_default()))
    }

    /// All series.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Series> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Each series as a field, which is a frame of a single series too.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Bytes> {
        let ends = self.spans.iter().map(|span| span.end as usize);
        ends.scan(0, |start, end| {
            Some(self.bytes.slice(std::mem::replace(start, end)..end))
        })
    }

    /// The series as the generated code has them.
    #[must_use]
    pub fn decoded(&self) -> Vec<thanos::Series> {
        let batch = thanos::SeriesBatch::decode(self.bytes.clone());
        batch.unwrap_or_default().series
    }
}

impl Span {
    /// Of a series that ends here.
    fn before(end: usize, series: usize, chunks: usize) -> Option<Self> {
        let end = u32::try_from(end).ok()?;
        Some(Self {
            start: end - u32::try_from(series).ok()?,
            chunks: end - u32::try_from(chunks).ok()?,
            end,
        })
    }
}

/// A series, in the buffer that it came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    message: Bytes,
    /// Where they begin.
    chunks: usize,
}

impl Series {
    pub(crate) fn labels(&self) -> Labels<'_> {
        Labels(&self.message[..self.chunks])
    }

    /// Its chunks, still fields of the message.
    pub(crate) fn fields(&self) -> &[u8] {
        &self.message[self.chunks..]
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> + Clone {
        Chunk::each(self.fields())
    }

    /// Bytes that it holds for itself.
    pub(crate) fn size(&self) -> usize {
        self.message.len()
    }
}

/// A batch in the making.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Builder {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a series that has these chunks, each part one or more fields of a message.
    pub(crate) fn push<'b>(
        &mut self,
        labels: Labels<'_>,
        chunks: impl Iterator<Item = &'b [u8]> + Clone,
    ) {
        let of_chunks = chunks.clone().map(<[u8]>::len).sum::<usize>();
        let length = labels.0.len() + of_chunks;
        self.bytes.push(SERIES);
        encode_varint(length as u64, &mut self.bytes);
        self.bytes.extend_from_slice(labels.0);
        chunks.for_each(|chunk| self.bytes.extend_from_slice(chunk));
        // What a batch cannot hold is never in one frame.
        self.spans
            .extend(Span::before(self.bytes.len(), length, of_chunks));
    }

    /// What was added.
    pub(crate) fn finish(self) -> Batch {
        Batch {
            bytes: self.bytes.into(),
            spans: self.spans,
        }
    }

    /// What was added, before more is. The next batch is taken to be as large.
    pub(crate) fn flush(&mut self) -> Batch {
        let next = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            spans: Vec::with_capacity(self.spans.len()),
        };
        std::mem::replace(self, next).finish()
    }
}
