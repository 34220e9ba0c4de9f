//! Commands of the tree that run before and after what is done: `hooks` at any level, `<when>: [{ command, units, timeout, … }]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::live::format::duration;
use crate::{Attributes, Value};

/// One command, of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub when: When,
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Only around these units of the cluster (`federation/*` is written `federation`); none: around the cluster.
    pub units: Vec<String>,
    /// Relative to the fleet's folder.
    pub working_dir: Option<PathBuf>,
    pub env: BTreeMap<String, String>,
    /// When it is killed.
    pub timeout: Duration,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    BeforePlan,
    AfterPlan,
    BeforeApply,
    AfterApply,
    BeforeDestroy,
    AfterDestroy,
}

/// Of a hook that does not say.
const TIMEOUT: Duration = Duration::from_secs(600);

const ALL: [(&str, When); 6] = [
    ("before_plan", When::BeforePlan),
    ("after_plan", When::AfterPlan),
    ("before_apply", When::BeforeApply),
    ("after_apply", When::AfterApply),
    ("before_destroy", When::BeforeDestroy),
    ("after_destroy", When::AfterDestroy),
];

impl When {
    /// As the tree says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = ALL.iter().find(|(_, when)| *when == self);
        found.map_or("", |(name, _)| name)
    }
}

impl Hook {
    /// Whether it runs around a unit.
    #[must_use]
    pub fn is_around(&self, unit: &str) -> bool {
        let family = unit.split('/').next();
        let mut units = self.units.iter();
        units.any(|name| name == unit || Some(name.as_str()) == family)
    }

    /// What the value of `hooks` says; its shape is checked by then. What is not known yet stays out of the environment.
    pub(crate) fn read(hooks: &Value) -> Vec<Self> {
        let of = |(name, when): &(&str, When)| {
            let list = hooks.as_map()?.get(*name)?.as_list()?;
            let hooks = list.iter().filter_map(|it| Self::one(*when, it.as_map()?));
            Some(hooks.collect::<Vec<_>>())
        };
        ALL.iter().filter_map(of).flatten().collect()
    }

    fn one(when: When, fields: &Attributes) -> Option<Self> {
        let texts = |name: &str| {
            let list = fields
                .get(name)
                .and_then(Value::as_list)
                .unwrap_or_default();
            list.iter().filter_map(scalar).collect::<Vec<_>>()
        };
        let command = texts("command");
        let env = fields
            .get("env")
            .and_then(Value::as_map)
            .into_iter()
            .flatten();
        let env = env.filter_map(|(name, value)| Some((name.clone(), scalar(value)?)));
        let text = |name: &str| fields.get(name).and_then(Value::as_text);
        (!command.is_empty()).then(|| Self {
            when,
            command,
            units: texts("units"),
            working_dir: text("working_dir").map(PathBuf::from),
            env: env.collect(),
            timeout: text("timeout").and_then(duration).unwrap_or(TIMEOUT),
        })
    }
}

/// A scalar as a program gets it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        value => value.as_text().map(str::to_owned),
    }
}
