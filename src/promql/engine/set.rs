//! Set operators: series are there or not, by the labels that the other side has at the step.

use std::collections::HashMap;

use model::Labels;

use super::Evaluated;
use super::evaluate::{Evaluation, Sink};
use super::matching::Signature;
use super::merged::Merged;
use super::points::Points;
use crate::parser::ast::{Binary, BinaryOp};

/// At which steps each signature is there.
struct Presence {
    signature: Signature,
    steps: usize,
    ids: HashMap<Labels, usize>,
    /// Signature by signature.
    there: Vec<bool>,
}

impl Presence {
    fn new(binary: &Binary, evaluation: &Evaluation<'_>) -> Self {
        Self {
            signature: Signature::new(&binary.matching, &evaluation.query.symbols),
            steps: evaluation.steps.count as usize,
            ids: HashMap::new(),
            there: Vec::new(),
        }
    }

    fn mark(&mut self, labels: &Labels, points: &Points) {
        let next = self.ids.len();
        let id = *self.ids.entry(self.signature.of(labels)).or_insert(next);
        if id == next {
            self.there.resize(self.there.len() + self.steps, false);
        }
        let there = &mut self.there[id * self.steps..][..self.steps];
        for (step, _) in points.iter() {
            if let Some(there) = there.get_mut(step as usize) {
                *there = true;
            }
        }
    }

    /// Keeps the points at the steps where the signature of `labels` is there, or is not.
    fn retain(&self, labels: &Labels, points: &mut Points, wanted: bool) {
        let there = match self.ids.get(&self.signature.of(labels)) {
            Some(id) => &self.there[id * self.steps..][..self.steps],
            None => &[],
        };
        let keeps = |step: u32| there.get(step as usize).copied().unwrap_or(false) == wanted;
        points.floats.retain(|point| keeps(point.step));
        points.histograms.retain(|point| keeps(point.step));
    }
}

impl Evaluation<'_> {
    /// `and` and `unless`: the left series, where the right side has or does not have their labels.
    pub(super) fn filtered(&self, binary: &Binary, sink: &mut Sink<'_>) -> Evaluated {
        let mut right = Presence::new(binary, self);
        self.vector(&binary.right, &self.hints(), &mut |head, points| {
            right.mark(&head.labels, points);
            Ok(())
        })?;
        let wanted = binary.op == BinaryOp::And;
        self.vector(&binary.left, &self.hints(), &mut |head, points| {
            right.retain(&head.labels, points, wanted);
            match points.is_empty() {
                true => Ok(()),
                false => sink(head, points),
            }
        })
    }

    /// `or`: the left series, and the right ones where the left side does not have their labels.
    pub(super) fn united(&self, binary: &Binary, sink: &mut Sink<'_>) -> Evaluated {
        let mut left = Presence::new(binary, self);
        let (mut merged, mut held) = (Merged::default(), 0);
        self.vector(&binary.left, &self.hints(), &mut |head, points| {
            left.mark(&head.labels, points);
            let weight = points.weight();
            self.query.hold(weight)?;
            held += weight;
            merged.add(head, points);
            Ok(())
        })?;
        self.vector(&binary.right, &self.hints(), &mut |head, points| {
            left.retain(&head.labels, points, false);
            if points.is_empty() {
                return Ok(());
            }
            let weight = points.weight();
            self.query.hold(weight)?;
            held += weight;
            merged.add(head, points);
            Ok(())
        })?;
        self.send(merged.finish()?, sink)?;
        self.query.release(held);
        Ok(())
    }
}
