//! The instants that an expression is evaluated at.

use model::Timestamp;

use super::QueryError;
use crate::parser::ast::{At, TimeShift};

/// The value of a series at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) step: u32,
    pub(super) v: f64,
}

/// `start`, `start + step`, …: `count` instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// 0 for an instant query.
    pub(super) step: i64,
    pub(super) count: u32,
}

impl Steps {
    pub(super) fn instant(time: Timestamp) -> Self {
        Self {
            start: time,
            end: time,
            step: 0,
            count: 1,
        }
    }

    pub(super) fn range(
        start: Timestamp,
        end: Timestamp,
        step: i64,
        most: usize,
    ) -> Result<Self, QueryError> {
        if step <= 0 {
            let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(QueryError::Invalid(message.to_owned()));
        }
        if end < start {
            return Ok(Self {
                start,
                end,
                step,
                count: 0,
            });
        }
        let span = end
            .checked_sub(start)
            .ok_or_else(super::evaluate::too_many_samples)?;
        let count = u32::try_from(span / step + 1)
            .ok()
            .filter(|count| *count < u32::MAX && *count as usize <= most)
            .ok_or_else(super::evaluate::too_many_samples)?;
        Ok(Self {
            start,
            end,
            step,
            count,
        })
    }

    /// When step `at` is.
    pub(super) fn time(&self, at: u32) -> Timestamp {
        self.start
            .saturating_add(self.step.saturating_mul(i64::from(at)))
    }

    pub(super) fn all(&self) -> std::ops::Range<u32> {
        0..self.count
    }

    /// The instants that a selector with `shift` looks at. With `@` it is one for all steps.
    pub(super) fn shifted(&self, shift: TimeShift) -> Self {
        let fixed = shift.at.map(|at| match at {
            At::Time(time) => time,
            At::Start => self.start,
            At::End => self.end,
        });
        let back = |time: Timestamp| time.saturating_sub(shift.offset);
        match fixed {
            Some(time) => {
                let time = back(time);
                Self {
                    start: time,
                    end: time,
                    step: 0,
                    count: self.count.min(1),
                }
            }
            None => Self {
                start: back(self.start),
                end: back(self.end),
                ..*self
            },
        }
    }
}
