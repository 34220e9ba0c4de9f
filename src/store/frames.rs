//! Series into response frames, as many in one as the request asks for.

use proto::thanos::series_response::Result as Frame;
use proto::thanos::{AggrChunk, Label, Series, SeriesBatch, SeriesResponse};

/// Bytes after which a frame is sent even if more series would fit by count.
const FRAME_BYTES: usize = 1 << 20;

/// A frame in the making.
#[derive(Debug)]
pub struct Frames {
    size: usize,
    pending: Vec<Series>,
    bytes: usize,
}

impl Frames {
    /// Frames of up to `response_batch_size` series; 0 and 1 give frames of a single series, in the form
    /// that every client understands.
    #[must_use]
    pub fn new(response_batch_size: i64) -> Self {
        let size = usize::try_from(response_batch_size)
            .unwrap_or(0)
            .clamp(1, 4096);
        Self {
            size,
            pending: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a series; gives the frame that is full now.
    pub fn push(&mut self, series: Series) -> Option<SeriesResponse> {
        if self.size == 1 {
            return Some(SeriesResponse {
                result: Some(Frame::Series(series)),
            });
        }
        self.bytes += size(&series);
        self.pending.push(series);
        let full = self.pending.len() >= self.size || self.bytes >= FRAME_BYTES;
        if full { self.flush() } else { None }
    }

    /// What is pending: at the end, and before anything that is not a series.
    pub fn flush(&mut self) -> Option<SeriesResponse> {
        if self.pending.is_empty() {
            return None;
        }
        self.bytes = 0;
        let series = std::mem::take(&mut self.pending);
        Some(SeriesResponse {
            result: Some(Frame::Batch(SeriesBatch { series })),
        })
    }

    /// A warning as a frame.
    #[must_use]
    pub fn warning(text: String) -> SeriesResponse {
        SeriesResponse {
            result: Some(Frame::Warning(text)),
        }
    }
}

/// About how many bytes a series holds.
fn size(series: &Series) -> usize {
    let label = |label: &Label| 48 + label.name.len() + label.value.len();
    let chunk = |chunk: &AggrChunk| {
        let parts = [
            &chunk.raw,
            &chunk.count,
            &chunk.sum,
            &chunk.min,
            &chunk.max,
            &chunk.counter,
        ];
        let parts = parts.into_iter().flatten();
        size_of_val(chunk) + parts.map(|part| part.data.len()).sum::<usize>()
    };
    let labels = series.labels.iter().map(label).sum::<usize>();
    labels + series.chunks.iter().map(chunk).sum::<usize>()
}
