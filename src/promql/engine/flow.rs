//! Series on their way through what works on each of them by itself, the current sample or windows: on this thread, and on
//! helpers where a query has several. Batches are cut into jobs; whoever is free takes the next one, and what becomes of
//! them goes on in the order of the series. So all that follows takes the same steps on one thread and on many.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use model::{Batch, Columns, Labels, Need, SeriesStream};

use super::evaluate::Sink;
use super::points::{Head, Points, Row};
use super::query::{Query, Tally};
use super::samples::Samples;
use super::{Evaluated, QueryError};

/// What is done with each series by itself. Each thread has its own.
pub(super) trait Stage: Clone + Send {
    /// Appends the points of one series to `out`, which is empty, and says whose they are.
    fn points(
        &mut self,
        query: &Query<'_>,
        labels: Labels,
        samples: &mut Samples,
        out: &mut Points,
    ) -> Evaluated<Head>;

    /// What it looks at.
    fn need(&self) -> Need;
}

/// A job has as many series as have about so many points.
const POINTS_A_JOB: usize = 1 << 16;
/// And no more series than these.
const SERIES_A_JOB: usize = 32;
/// Jobs that are begun before the results of the first are used, for each thread.
const JOBS_AHEAD: usize = 2;

impl Query<'_> {
    /// Sends series through `stage` to `sink`. `steps` is how many points each may have.
    pub(super) fn flow(
        &self,
        stream: Box<dyn SeriesStream>,
        stage: impl Stage,
        steps: u32,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        if self.options.threads > 1 {
            return self.flow_in_parallel(stream, stage, steps, sink);
        }
        let (mut stage, mut points) = (stage, Points::default());
        self.each_series_of(stage.need(), stream, &mut |labels, samples| {
            points.clear();
            let head = stage.points(self, labels, samples, &mut points)?;
            match points.is_empty() {
                true => Ok(()),
                false => sink(head, &mut points),
            }
        })
    }

    fn flow_in_parallel(
        &self,
        mut stream: Box<dyn SeriesStream>,
        stage: impl Stage,
        steps: u32,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let mut jobs = Jobs {
            stream: &mut *stream,
            batch: Batch::new().into_iter(),
            size: (POINTS_A_JOB / steps.max(1) as usize).clamp(1, SERIES_A_JOB),
        };
        let line = Line::default();
        let threads = self.options.threads;
        let mut own = Worker::new(self.fork(), stage.clone());
        let flowed: Evaluated = std::thread::scope(|scope| {
            let _closed = Closing(&line);
            let (mut begun, mut used, mut helpers) = (0, 0, 0);
            loop {
                while begun - used < threads * JOBS_AHEAD
                    && let Some(batch) = jobs.next()?
                {
                    line.begin(begun, batch);
                    begun += 1;
                    if begun > 1 && helpers + 1 < threads {
                        let mut helper = Worker::new(self.fork(), stage.clone());
                        let line = &line;
                        scope.spawn(move || helper.help(line));
                        helpers += 1;
                    }
                }
                if used == begun {
                    return Ok(());
                }
                match line.next(used)? {
                    Next::Job(at, batch) => line.end(at, own.work(batch)),
                    Next::Outcome(outcome) => {
                        let Outcome { rows, tally } = outcome?;
                        self.absorb(tally);
                        for Row { head, mut points } in rows {
                            sink(head, &mut points)?;
                        }
                        used += 1;
                    }
                }
            }
        });
        flowed?;
        self.warn_of(&mut *stream);
        Ok(())
    }
}

/// The series in pieces of the size of a job.
struct Jobs<'s> {
    stream: &'s mut dyn SeriesStream,
    batch: std::vec::IntoIter<model::Series>,
    size: usize,
}

impl Jobs<'_> {
    fn next(&mut self) -> Evaluated<Option<Batch>> {
        if self.batch.len() == 0 {
            match self.stream.next()? {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Ok(None),
            }
        }
        Ok(Some(self.batch.by_ref().take(self.size).collect()))
    }
}

/// What became of a job.
struct Outcome {
    rows: Vec<Row>,
    tally: Tally,
}

/// Works on series, one after the other.
struct Worker<'q, S> {
    query: Query<'q>,
    stage: S,
    columns: Columns,
    samples: Samples,
    points: Points,
}

impl<'q, S: Stage> Worker<'q, S> {
    fn new(query: Query<'q>, stage: S) -> Self {
        Self {
            query,
            columns: Columns::for_reader(stage.need()),
            stage,
            samples: Samples::default(),
            points: Points::default(),
        }
    }

    fn work(&mut self, batch: Batch) -> Evaluated<Outcome> {
        let mut rows = Vec::with_capacity(batch.len());
        for series in batch {
            let (columns, samples) = (&mut self.columns, &mut self.samples);
            let labels = self.query.decode(series, columns, samples)?;
            self.points.clear();
            let head = self
                .stage
                .points(&self.query, labels, samples, &mut self.points)?;
            if !self.points.is_empty() {
                let points = self.points.take();
                rows.push(Row { head, points });
            }
        }
        let tally = self.query.take_tally();
        Ok(Outcome { rows, tally })
    }

    fn help(&mut self, line: &Line) {
        // Whoever waits for a job must hear of it if it ends in a panic.
        let _closed = Closing(line);
        while let Some((at, batch)) = line.take() {
            line.end(at, self.work(batch));
        }
    }
}

/// The jobs that wait, and the outcomes that nobody has used yet.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(usize, Batch)>,
    outcomes: BTreeMap<usize, Evaluated<Outcome>>,
    closed: bool,
}

/// What there is to do next.
enum Next {
    Job(usize, Batch),
    Outcome(Evaluated<Outcome>),
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, at: usize, batch: Batch) {
        self.state().waiting.push_back((at, batch));
        self.changed.notify_one();
    }

    fn end(&self, at: usize, outcome: Evaluated<Outcome>) {
        self.state().outcomes.insert(at, outcome);
        self.changed.notify_all();
    }

    /// A job for a helper, or `None` when there will be no more.
    fn take(&self) -> Option<(usize, Batch)> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state = self.wait(state);
        }
    }

    /// The outcome of job `at`, or another job to do while somebody works on it.
    fn next(&self, at: usize) -> Evaluated<Next> {
        let mut state = self.state();
        loop {
            if let Some(outcome) = state.outcomes.remove(&at) {
                return Ok(Next::Outcome(outcome));
            }
            if let Some((at, batch)) = state.waiting.pop_front() {
                return Ok(Next::Job(at, batch));
            }
            if state.closed {
                // The panic goes on where the threads are joined.
                return Err(QueryError::Execution("a thread has ended".to_owned()));
            }
            state = self.wait(state);
        }
    }
}

/// Closes the line when it goes.
struct Closing<'l>(&'l Line);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_all();
    }
}
