//! Fills a template in.

use std::collections::BTreeMap;

use model::Timestamp;
use model::histogram::format_short;

use super::template::{Command, Node, Operand, Pipe, Template};
use crate::testlang;

pub(super) type LabelMap = BTreeMap<String, String>;

/// What a template is about.
pub(super) struct Context<'c> {
    pub(super) labels: &'c LabelMap,
    pub(super) external_labels: &'c LabelMap,
    pub(super) external_url: &'c str,
    pub(super) value: &'c testlang::Value,
    pub(super) time: Timestamp,
    pub(super) query: &'c dyn Fn(&str) -> Result<Vec<Sample>, String>,
}

/// A series of a `query`, at its time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: LabelMap,
    pub(super) value: testlang::Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Labels(LabelMap),
    Sample(Sample),
    Samples(Vec<Sample>),
    /// `.` of the whole template.
    Root,
}

impl Value {
    pub(super) fn of(value: &testlang::Value) -> Self {
        match value {
            testlang::Value::Omitted => Self::Nothing,
            testlang::Value::Float(v) => Self::Float(*v),
            testlang::Value::Histogram { histogram, .. } => Self::Text(histogram.to_string()),
        }
    }

    /// Go's truth: not zero, not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bool(v) => *v,
            Self::Int(v) => *v != 0,
            Self::Float(v) => *v != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Samples(samples) => !samples.is_empty(),
            Self::Sample(_) | Self::Root => true,
        }
    }

    /// As `{{ }}` prints it.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Nothing => "<no value>".to_owned(),
            Self::Bool(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Float(v) => format_short(*v),
            Self::Text(text) => text.clone(),
            Self::Labels(labels) => {
                let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}:{v}")).collect();
                format!("map[{}]", pairs.join(" "))
            }
            Self::Sample(sample) => {
                let labels = Self::Labels(sample.labels.clone()).print();
                format!("{{{labels} {}}}", Self::of(&sample.value).print())
            }
            Self::Samples(samples) => {
                let all: Vec<String> = samples
                    .iter()
                    .map(|s| Self::Sample(s.clone()).print())
                    .collect();
                format!("[{}]", all.join(" "))
            }
            Self::Root => String::new(),
        }
    }
}

type Filled<T = ()> = Result<T, String>;

impl Template {
    /// The text, or why there is none.
    pub(super) fn fill(&self, context: &Context<'_>) -> Filled<String> {
        let variables = vec![
            ("labels".to_owned(), Value::Labels(context.labels.clone())),
            (
                "externalLabels".to_owned(),
                Value::Labels(context.external_labels.clone()),
            ),
            (
                "externalURL".to_owned(),
                Value::Text(context.external_url.to_owned()),
            ),
            ("value".to_owned(), Value::of(context.value)),
            (String::new(), Value::Root),
        ];
        let mut filling = Filling {
            context,
            variables,
            out: String::new(),
        };
        filling.nodes(&self.0, &Value::Root)?;
        Ok(filling.out)
    }
}

struct Filling<'c> {
    context: &'c Context<'c>,
    /// The latest of a name counts.
    variables: Vec<(String, Value)>,
    out: String,
}

impl Filling<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Filled {
        let known = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Filled {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipe) => {
                let text = self.pipe(pipe, dot)?.print();
                self.out.push_str(&text);
            }
            Node::Declare(name, pipe) => {
                let value = self.pipe(pipe, dot)?;
                self.variables.push((name.clone(), value));
            }
            Node::Assign(name, pipe) => {
                let value = self.pipe(pipe, dot)?;
                let known = self.variables.iter_mut().rev();
                if let Some((_, slot)) = known.into_iter().find(|(n, _)| n == name) {
                    *slot = value;
                }
            }
            Node::If(pipe, then, otherwise) => {
                let holds = self.pipe(pipe, dot)?.is_true();
                self.nodes(if holds { then } else { otherwise }, dot)?;
            }
            Node::With(pipe, then, otherwise) => {
                let value = self.pipe(pipe, dot)?;
                match value.is_true() {
                    true => self.nodes(then, &value)?,
                    false => self.nodes(otherwise, dot)?,
                }
            }
            Node::Range(pipe, each, otherwise) => {
                let Value::Samples(samples) = self.pipe(pipe, dot)? else {
                    return Err("range can only go over the answer of a query here".to_owned());
                };
                if samples.is_empty() {
                    return self.nodes(otherwise, dot);
                }
                for sample in samples {
                    self.nodes(each, &Value::Sample(sample))?;
                }
            }
        }
        Ok(())
    }

    fn pipe(&self, pipe: &Pipe, dot: &Value) -> Filled<Value> {
        let mut before: Option<Value> = None;
        for command in &pipe.0 {
            let value = match command {
                Command::Value(operand) => self.operand(operand, dot)?,
                Command::Call(function, operands) => {
                    let values = operands.iter().map(|operand| self.operand(operand, dot));
                    let mut args = values.collect::<Filled<Vec<Value>>>()?;
                    args.extend(before.take());
                    let told = |why| format!("error calling {}: {why}", function.name);
                    (function.call)(self.context, &args).map_err(told)?
                }
            };
            before = Some(value);
        }
        Ok(before.unwrap_or(Value::Nothing))
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Filled<Value> {
        match operand {
            Operand::Text(text) => Ok(Value::Text(text.clone())),
            Operand::Int(v) => Ok(Value::Int(*v)),
            Operand::Float(v) => Ok(Value::Float(*v)),
            Operand::Bool(v) => Ok(Value::Bool(*v)),
            Operand::Call(function) => {
                let told = |why| format!("error calling {}: {why}", function.name);
                (function.call)(self.context, &[]).map_err(told)
            }
            Operand::Dot(names) => self.fields(dot.clone(), names),
            Operand::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map_or(Value::Nothing, |(_, value)| value.clone());
                self.fields(value, names)
            }
            Operand::Pipe(pipe, names) => self.fields(self.pipe(pipe, dot)?, names),
        }
    }

    fn fields(&self, mut value: Value, names: &[String]) -> Filled<Value> {
        for name in names {
            value = match (&value, name.as_str()) {
                (Value::Root, "Labels") => Value::Labels(self.context.labels.clone()),
                (Value::Root, "ExternalLabels") => {
                    Value::Labels(self.context.external_labels.clone())
                }
                (Value::Root, "ExternalURL") => Value::Text(self.context.external_url.to_owned()),
                (Value::Root, "Value") => Value::of(self.context.value),
                (Value::Sample(sample), "Labels") => Value::Labels(sample.labels.clone()),
                (Value::Sample(sample), "Value") => Value::of(&sample.value),
                (Value::Labels(labels), _) => {
                    Value::Text(labels.get(name).cloned().unwrap_or_default())
                }
                (other, _) => {
                    return Err(format!("can't evaluate field {name} in {}", other.print()));
                }
            };
        }
        Ok(value)
    }
}
