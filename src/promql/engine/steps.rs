//! The instants that an expression is evaluated at.

use model::Timestamp;

use super::QueryError;
use crate::parser::ast::{At, TimeShift};

/// `start`, `start + step`, …: `count` instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// 0 for an instant query.
    pub(crate) step: i64,
    pub(crate) count: u32,
}

impl Steps {
    pub(crate) fn instant(time: Timestamp) -> Self {
        Self {
            start: time,
            end: time,
            step: 0,
            count: 1,
        }
    }

    pub(crate) fn range(
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
            .ok_or_else(super::query::too_many_samples)?;
        let count = u32::try_from(span / step + 1)
            .ok()
            .filter(|count| *count < u32::MAX && *count as usize <= most)
            .ok_or_else(super::query::too_many_samples)?;
        Ok(Self {
            start,
            end,
            step,
            count,
        })
    }

    /// When step `at` is.
    pub(crate) fn time(&self, at: u32) -> Timestamp {
        self.start
            .saturating_add(self.step.saturating_mul(i64::from(at)))
    }

    pub(crate) fn all(&self) -> std::ops::Range<u32> {
        0..self.count
    }

    /// The instants that a selector with `shift` looks at. With `@` it is one for all steps; `whole` are those of the
    /// query itself.
    pub(crate) fn shifted(&self, shift: TimeShift, whole: &Self) -> Self {
        let fixed = shift.at.map(|at| match at {
            At::Time(time) => time,
            At::Start => whole.start,
            At::End => whole.end,
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
