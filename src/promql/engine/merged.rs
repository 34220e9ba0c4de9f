//! Series that are put together from pieces: those of equal labels become one if they are never there at the same
//! step, and are an error otherwise.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use model::Labels;

use super::Evaluated;
use super::points::{Head, Points, Row};
use super::query::same_labels;

/// Rows by their labels, in the order of their first pieces.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    rows: Vec<Row>,
    places: HashMap<Labels, usize>,
    /// Rows of more than one piece.
    mixed: bool,
}

impl Merged {
    /// Adds a piece. Takes the points.
    pub(crate) fn add(&mut self, head: Head, points: &mut Points) {
        match self.places.entry(head.labels.clone()) {
            Entry::Vacant(place) => {
                place.insert(self.rows.len());
                let points = std::mem::take(points);
                self.rows.push(Row { head, points });
            }
            Entry::Occupied(place) => {
                self.mixed = true;
                let there = &mut self.rows[*place.get()].points;
                there.floats.append(&mut points.floats);
                there.histograms.append(&mut points.histograms);
            }
        }
    }

    /// The rows with their points in step order.
    ///
    /// # Errors
    /// Two pieces of one series at one step.
    pub(crate) fn finish(self) -> Evaluated<Vec<Row>> {
        let mut rows = self.rows;
        if !self.mixed {
            return Ok(rows);
        }
        for Row { points, .. } in &mut rows {
            points.floats.sort_by_key(|point| point.step);
            points.histograms.sort_by_key(|point| point.step);
            let twice = points.floats.windows(2).any(|p| p[0].step == p[1].step)
                || points.histograms.windows(2).any(|p| p[0].step == p[1].step)
                || share_a_step(points);
            if twice {
                return Err(same_labels());
            }
        }
        Ok(rows)
    }
}

fn share_a_step(points: &Points) -> bool {
    let mut floats = points.floats.iter().peekable();
    points.histograms.iter().any(|histogram| {
        while floats
            .next_if(|float| float.step < histogram.step)
            .is_some()
        {}
        floats
            .peek()
            .is_some_and(|float| float.step == histogram.step)
    })
}
