//! What all parts of one evaluation share: the source, the limits, the notes.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{
    Cancel, Columns, Labels, METRIC_NAME, Need, Queryable, Select, Series, SeriesStream, Symbols,
};

use super::annotations::Annotations;
use super::histograms::CountsOnly;
use super::points::Head;
use super::projection::Projections;
use super::samples::Samples;
use super::shared::Sharing;
use super::steps::Steps;
use super::{Answer, AnswerValue, Evaluated, Options, QueryError, Stats};

/// One query on its way.
pub(crate) struct Query<'q> {
    source: &'q dyn Queryable,
    pub(crate) cancel: &'q Cancel,
    pub(crate) options: &'q Options,
    /// The steps of the query itself, whatever subqueries look at.
    pub(crate) steps: Steps,
    pub(crate) symbols: Arc<Symbols>,
    pub(crate) annotations: Annotations,
    /// Whether there is an `@` somewhere.
    pub(crate) pins: bool,
    pub(crate) counts_only: CountsOnly,
    pub(super) projections: Projections,
    pub(super) sharing: Sharing,
    /// The labels that say what a series measures: gone once it measures something else.
    metadata: [u32; 3],
    /// Samples and points held by results and groups.
    held: Arc<AtomicUsize>,
    stats: Cell<Stats>,
    /// Of the source.
    warnings: RefCell<Vec<String>>,
}

impl<'q> Query<'q> {
    pub(crate) fn new(
        source: &'q dyn Queryable,
        cancel: &'q Cancel,
        options: &'q Options,
        steps: Steps,
    ) -> Self {
        let symbols = Arc::new(Symbols::new());
        let metadata = [METRIC_NAME, "__type__", "__unit__"].map(|name| symbols.intern(name));
        Self {
            source,
            cancel,
            options,
            steps,
            symbols,
            annotations: Annotations::default(),
            pins: false,
            counts_only: CountsOnly::default(),
            projections: Projections::default(),
            sharing: Sharing::default(),
            metadata,
            held: Arc::default(),
            stats: Cell::default(),
            warnings: RefCell::default(),
        }
    }

    pub(crate) fn answer(self, value: AnswerValue) -> Answer {
        let mut warnings = self.warnings.into_inner();
        let (more, infos) = self.annotations.into_texts();
        warnings.extend(more);
        Answer {
            symbols: self.symbols,
            value,
            warnings,
            infos,
            stats: self.stats.get(),
        }
    }

    // ---- limits

    /// Accounts for `weight` more samples or points that stay.
    pub(crate) fn hold(&self, weight: usize) -> Evaluated {
        self.held.fetch_add(weight, Ordering::Relaxed);
        self.check_limit(0)
    }

    pub(crate) fn release(&self, weight: usize) {
        let less = |held: usize| Some(held.saturating_sub(weight));
        let _ = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(crate) fn check_limit(&self, scratch: usize) -> Evaluated {
        let mut stats = self.stats.get();
        let now = self.held.load(Ordering::Relaxed) + scratch;
        stats.peak_samples = stats.peak_samples.max(now);
        self.stats.set(stats);
        if now > self.options.max_samples {
            Err(too_many_samples())
        } else {
            Ok(())
        }
    }

    // ---- series

    pub(crate) fn open(&self, select: &Select) -> Evaluated<Box<dyn SeriesStream>> {
        Ok(self.source.select(select, self.cancel)?)
    }

    /// Reads series one after the other.
    pub(crate) fn each_series(
        &self,
        stream: Box<dyn SeriesStream>,
        visit: &mut dyn FnMut(Labels, &mut Samples) -> Evaluated,
    ) -> Evaluated {
        self.each_series_of(Need::default(), stream, visit)
    }

    /// As [`Self::each_series`], for somebody who needs not all of it.
    pub(crate) fn each_series_of(
        &self,
        need: Need,
        mut stream: Box<dyn SeriesStream>,
        visit: &mut dyn FnMut(Labels, &mut Samples) -> Evaluated,
    ) -> Evaluated {
        let (mut columns, mut samples) = (Columns::for_reader(need), Samples::default());
        while let Some(batch) = stream.next()? {
            for series in batch {
                let labels = self.decode(series, &mut columns, &mut samples)?;
                visit(labels, &mut samples)?;
            }
        }
        self.warn_of(&mut *stream);
        Ok(())
    }

    /// Decodes a series into `samples`, by way of `columns`.
    pub(crate) fn decode(
        &self,
        series: Series,
        columns: &mut Columns,
        samples: &mut Samples,
    ) -> Evaluated<Labels> {
        self.cancel.check()?;
        columns.clear();
        series.samples.read(columns)?;
        let count = columns.len() as u64;
        samples.take(columns);
        if !self.options.start_timestamps {
            samples.st.clear();
            samples.hst.clear();
        }
        self.count(count);
        self.check_limit(samples.weight())?;
        // Decoding may have taken a while.
        self.cancel.check()?;
        Ok(series.labels)
    }

    /// Whether samples hang on where a selection begins.
    pub(crate) fn start_matters(&self) -> bool {
        self.source.start_matters()
    }

    /// Keeps what the source could not give.
    pub(crate) fn warn_of(&self, stream: &mut dyn SeriesStream) {
        let mut warnings = self.warnings.borrow_mut();
        for warning in stream.warnings() {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }

    // ---- threads

    /// The same query for another thread, with notes and statistics of its own.
    pub(crate) fn fork(&self) -> Self {
        Self {
            source: self.source,
            cancel: self.cancel,
            options: self.options,
            steps: self.steps,
            symbols: Arc::clone(&self.symbols),
            annotations: Annotations::default(),
            pins: self.pins,
            // Looked at by whoever selects, which is this thread.
            counts_only: CountsOnly::default(),
            projections: Projections::default(),
            sharing: Sharing::default(),
            metadata: self.metadata,
            held: Arc::clone(&self.held),
            stats: Cell::default(),
            warnings: RefCell::default(),
        }
    }

    /// What was noted and counted so far, which begins anew.
    pub(crate) fn take_tally(&mut self) -> Tally {
        Tally {
            annotations: std::mem::take(&mut self.annotations),
            stats: self.stats.take(),
        }
    }

    /// Takes over what was noted and counted on another thread.
    pub(crate) fn absorb(&self, tally: Tally) {
        self.annotations.append(tally.annotations);
        let (mut stats, more) = (self.stats.get(), tally.stats);
        stats.series += more.series;
        stats.samples += more.samples;
        stats.peak_samples = stats.peak_samples.max(more.peak_samples);
        self.stats.set(stats);
    }

    fn count(&self, samples: u64) {
        let mut stats = self.stats.get();
        stats.series += 1;
        stats.samples += samples;
        self.stats.set(stats);
    }

    // ---- names

    /// Marks the points as another thing than the metric. Its name goes now, or with the answer.
    pub(crate) fn drop_name(&self, head: &mut Head) {
        head.drop_name = true;
        if !self.options.delayed_name_removal {
            self.remove_metadata(&mut head.labels);
        }
    }

    pub(crate) fn remove_metadata(&self, labels: &mut Labels) {
        labels.retain(|name, _| !self.metadata.contains(&name));
    }

    pub(crate) fn metric_name(&self, labels: &Labels) -> &str {
        labels.get(METRIC_NAME, &self.symbols).unwrap_or_default()
    }
}

/// What a thread has noted and counted.
#[derive(Debug)]
pub(crate) struct Tally {
    annotations: Annotations,
    stats: Stats,
}

pub(crate) fn too_many_samples() -> QueryError {
    let text = "query processing would load too many samples into memory in query execution";
    QueryError::Limit(text.to_owned())
}

pub(crate) fn same_labels() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}
