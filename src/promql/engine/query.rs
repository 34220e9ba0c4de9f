//! What all parts of one evaluation share: the source, the limits, the notes.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use model::{Cancel, Columns, Labels, METRIC_NAME, Queryable, Select, Symbols};

use super::annotations::Annotations;
use super::histograms::CountsOnly;
use super::points::Head;
use super::samples::Samples;
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
    /// The labels that say what a series measures: gone once it measures something else.
    metadata: [u32; 3],
    /// Samples and points held by results and groups.
    held: Cell<usize>,
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
            metadata,
            held: Cell::default(),
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
        self.held.set(self.held.get() + weight);
        self.check_limit(0)
    }

    pub(crate) fn release(&self, weight: usize) {
        self.held.set(self.held.get().saturating_sub(weight));
    }

    pub(crate) fn check_limit(&self, scratch: usize) -> Evaluated {
        let mut stats = self.stats.get();
        let now = self.held.get() + scratch;
        stats.peak_samples = stats.peak_samples.max(now);
        self.stats.set(stats);
        if now > self.options.max_samples {
            Err(too_many_samples())
        } else {
            Ok(())
        }
    }

    // ---- series

    /// Reads the selected series one after the other.
    pub(crate) fn each_series(
        &self,
        select: &Select,
        visit: &mut dyn FnMut(Labels, &mut Samples) -> Evaluated,
    ) -> Evaluated {
        let mut stream = self.source.select(select, self.cancel)?;
        let (mut columns, mut samples) = (Columns::default(), Samples::default());
        while let Some(batch) = stream.next()? {
            for series in batch {
                self.cancel.check()?;
                columns.clear();
                series.samples.read(&mut columns)?;
                let count = columns.len() as u64;
                samples.take(&mut columns);
                if !self.options.start_timestamps {
                    samples.st.clear();
                    samples.hst.clear();
                }
                self.count(count);
                self.check_limit(samples.weight())?;
                // Decoding may have taken a while.
                self.cancel.check()?;
                visit(series.labels, &mut samples)?;
            }
        }
        let mut warnings = self.warnings.borrow_mut();
        for warning in stream.warnings() {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Ok(())
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

pub(crate) fn too_many_samples() -> QueryError {
    let text = "query processing would load too many samples into memory in query execution";
    QueryError::Limit(text.to_owned())
}

pub(crate) fn same_labels() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}
