//! YAML as a tree in which every key and every value knows its place.
//!
//! YAML 1.2, core schema, through `serde-saphyr`: `on` and `yes` are strings, keys are strings (`1:` reads as `"1"`),
//! duplicate keys, tabs as indentation and alias bombs are errors. An alias stands at the place where it is used.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use crate::{Diagnostic, Position, Value};

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub position: Position,
    pub value: NodeValue,
}

/// What a value is. Texts may hold expressions that nobody has evaluated yet.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<(Key, Node)>),
}

/// The key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub position: Position,
}

/// Reads one document. An empty document is an empty map.
///
/// `file` is what positions say: the path as the user would type it.
///
/// # Errors
/// A [`Diagnostic`] at the place where `text` is no YAML, or YAML that is refused here.
pub fn parse(file: &Path, text: &str) -> Result<Node, Diagnostic> {
    let node = parse_value(file, text)?;
    match node.value {
        NodeValue::Null => Ok(Node::new(node.position, NodeValue::Map(Vec::new()))),
        _ => Ok(node),
    }
}

/// As [`parse`], but nothing is null.
pub(crate) fn parse_value(file: &Path, text: &str) -> Result<Node, Diagnostic> {
    let options = serde_yaml::options! {
        with_snippet: false,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source {
        file,
        text,
        shift: text.len() - plain.len(),
    };
    if plain
        .lines()
        .all(|line| line.trim().is_empty() || line.starts_with('#'))
    {
        return Ok(Node::new(Position::start(file), NodeValue::Null));
    }
    let root: Spanned<Plain> = serde_yaml::from_str_with_options(plain, options)
        .map_err(|error| source.mistake(&error, plain))?;
    Ok(source.node(root))
}

/// The file that is being read.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    /// Bytes of a byte order mark, which the parser never sees.
    shift: usize,
}

impl Source<'_> {
    fn node(&self, spanned: Spanned<Plain>) -> Node {
        let value = match spanned.value {
            Plain::Value(NodeValue::Float(value)) => self.number(spanned.referenced, value),
            Plain::Value(value) => value,
            Plain::List(items) => {
                NodeValue::List(items.into_iter().map(|item| self.node(item)).collect())
            }
            Plain::Map(entries) => NodeValue::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let position = self.position(key.referenced);
                        (
                            Key {
                                name: key.value,
                                position,
                            },
                            self.node(value),
                        )
                    })
                    .collect(),
            ),
        };
        Node {
            position: self.position(spanned.referenced),
            value,
        }
    }

    /// A number with a fraction or an exponent; digits that are too many for an integer stay a text, so that none is lost.
    fn number(&self, at: Location, value: f64) -> NodeValue {
        let Position { offset, len, .. } = self.position(at);
        let text = self
            .text
            .get(offset..offset.saturating_add(len))
            .unwrap_or_default();
        if !text.is_empty()
            && text
                .trim_start_matches('-')
                .bytes()
                .all(|b| b.is_ascii_digit())
        {
            return NodeValue::String(text.to_owned());
        }
        NodeValue::Float(value)
    }

    fn position(&self, at: Location) -> Position {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Position {
            file: self.file.to_owned(),
            line: size(at.line()).max(1),
            column: size(at.column()).max(1),
            offset: match at.span().byte_offset() {
                Some(offset) => size(offset).saturating_add(self.shift),
                // Where text is no YAML, only the line and the column are told.
                None => self.offset(size(at.line()), size(at.column())),
            },
            len: size(at.span().byte_len().unwrap_or(0)),
        }
    }

    /// The byte that a line and a column (in characters), both from 1, begin at.
    fn offset(&self, line: usize, column: usize) -> usize {
        let mut lines = self.text.split_inclusive('\n');
        let above: usize = lines
            .by_ref()
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        let here = lines.next().unwrap_or_default().trim_end_matches('\n');
        let before = here.chars().take(column.saturating_sub(1));
        above + before.map(char::len_utf8).sum::<usize>()
    }

    fn mistake(&self, error: &serde_yaml::Error, text: &str) -> Diagnostic {
        let error = error.without_snippet();
        let message = match error {
            serde_yaml::Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("`{key}` stands twice in one map")
            }
            _ => UserMessageFormatter.format_message(error).into_owned(),
        };
        let position = match error.location() {
            Some(at) if at != Location::UNKNOWN => self.position(at),
            _ => Position::start(self.file),
        };
        let line = text.lines().nth(position.line - 1).unwrap_or_default();
        let mistake = Diagnostic::at(position, lowercase_first(&message));
        match remedy(line, &mistake.message) {
            Some(help) => mistake.help(help),
            None => mistake,
        }
    }
}

/// What is usually meant where a line is no YAML.
fn remedy(line: &str, message: &str) -> Option<&'static str> {
    if line.trim_start_matches(' ').starts_with('\t') {
        Some("YAML is indented with spaces, never with tabs")
    } else if message.contains("flow mapping") && line.contains("${") {
        Some("inside braces an expression must be in quotes: \"${…}\"")
    } else if message.contains("did not find expected key") {
        Some("the keys of one map begin in the same column; check the indentation")
    } else if message.contains("unknown value") {
        Some(
            "`*name` repeats what `&name` marks above; a text that begins with `*` must be in quotes",
        )
    } else if message.contains("unclosed") {
        Some("what is opened must be closed, and a text with such a sign in it must be in quotes")
    } else if message.contains("mapping values") {
        Some("check the indentation; a text with `: ` in it must be in quotes")
    } else {
        None
    }
}

fn lowercase_first(message: &str) -> String {
    let mut letters = message.trim_end_matches('.').chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// A value as the deserializer hands it over, children with their places.
enum Plain {
    Value(NodeValue),
    List(Vec<Spanned<Plain>>),
    Map(Vec<(Spanned<String>, Spanned<Plain>)>),
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Value(NodeValue::Null))
    }

    fn visit_none<E>(self) -> Result<Plain, E> {
        Ok(Plain::Value(NodeValue::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Plain, D::Error> {
        Plain::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain::Value(NodeValue::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain::Value(NodeValue::Int(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Plain, E> {
        let value = i64::try_from(value)
            .map_err(|_| E::custom("a number this large must be put in quotes"))?;
        Ok(Plain::Value(NodeValue::Int(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
        Ok(Plain::Value(NodeValue::Float(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Plain, E> {
        Ok(Plain::Value(NodeValue::String(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Plain, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Plain::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Plain::Map(entries))
    }
}

impl Node {
    /// A value at `position`.
    #[must_use]
    pub fn new(position: Position, value: NodeValue) -> Self {
        Self { position, value }
    }

    /// The value under `key`, when this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value of `key`, when this is a map that has it.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<(&Key, &Self)> {
        self.as_map()?
            .iter()
            .find(|(k, _)| k.name == key)
            .map(|(k, v)| (k, v))
    }

    /// The value under a path of keys; a number is also an index into a list.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match &node.value {
            NodeValue::Map(_) => node.get(step),
            NodeValue::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let NodeValue::String(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// The truth of a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let NodeValue::Bool(value) = self.value {
            Some(value)
        } else {
            None
        }
    }

    /// The number of an integer.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let NodeValue::Int(value) = self.value {
            Some(value)
        } else {
            None
        }
    }

    /// The elements of a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        if let NodeValue::List(items) = &self.value {
            Some(items)
        } else {
            None
        }
    }

    /// The entries of a map, in the order of the file.
    #[must_use]
    pub fn as_map(&self) -> Option<&[(Key, Self)]> {
        if let NodeValue::Map(entries) = &self.value {
            Some(entries)
        } else {
            None
        }
    }

    /// Whether there is nothing here.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.value == NodeValue::Null
    }

    /// The field's name of this value's type, for messages: `a list`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "null",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Int(_) | NodeValue::Float(_) => "a number",
            NodeValue::String(_) => "a string",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }

    /// The plain value, with texts as they stand: no expression is evaluated.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => Value::Bool(*value),
            NodeValue::Int(value) => Value::Int(*value),
            NodeValue::Float(value) => Value::Float(*value),
            NodeValue::String(text) => Value::String(text.clone()),
            NodeValue::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            NodeValue::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(k, v)| (k.name.clone(), v.to_value()))
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Node {
        parse(Path::new("a.yaml"), text).expect(text)
    }

    fn refused(text: &str) -> (String, usize, usize) {
        let mistake = parse(Path::new("a.yaml"), text).expect_err(text);
        let at = mistake.position.expect("a position");
        assert_eq!(at.file, Path::new("a.yaml"));
        (mistake.message, at.line, at.column)
    }

    fn excerpt<'a>(text: &'a str, at: &Position) -> (usize, usize, &'a str) {
        (at.line, at.column, &text[at.offset..at.offset + at.len])
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "# ä\nrole: observee\ncompact: { retention: { 5m: 14d } }\nlist:\n  - \"ü\"\n  - x: 1\n";
        let node = read(text);
        let (key, value) = node.entry("role").expect("role");
        assert_eq!(excerpt(text, &key.position), (2, 1, "role"));
        assert_eq!(excerpt(text, &value.position), (2, 7, "observee"));
        let retention = node.at(&["compact", "retention"]).expect("retention");
        let (key, value) = retention.entry("5m").expect("5m");
        assert_eq!(excerpt(text, &key.position), (3, 25, "5m"));
        assert_eq!(excerpt(text, &value.position), (3, 29, "14d"));
        let quoted = node.at(&["list", "0"]).expect("list[0]");
        assert_eq!(quoted.as_str(), Some("ü"));
        assert_eq!((quoted.position.line, quoted.position.column), (5, 5));
        assert_eq!(node.at(&["list", "1", "x"]).and_then(Node::as_int), Some(1));
    }

    #[test]
    fn scalars_are_those_of_yaml_1_2() {
        let node = read(
            "[~, true, 7, 1.5, on, '7', 30d, \"${cluster.id}\", 012345678901, 99999999999999999999]",
        );
        let items = node.as_list().expect("list");
        let types: Vec<_> = items.iter().map(Node::type_name).collect();
        assert_eq!(types[..4], ["null", "a boolean", "a number", "a number"]);
        assert_eq!(types[4..8], ["a string"; 4]);
        assert_eq!(items[4].as_str(), Some("on"));
        assert_eq!(items[8].as_str(), Some("012345678901"));
        assert_eq!(items[9].as_str(), Some("99999999999999999999"));
    }

    #[test]
    fn an_empty_document_is_an_empty_map() {
        for text in ["", "\n", "# nothing\n", "---\n"] {
            assert_eq!(read(text).as_map().map(<[_]>::len), Some(0), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_refused_at_its_place() {
        assert_eq!(
            refused("a: 1\nb: 2\na: 3\n"),
            ("`a` stands twice in one map".into(), 3, 1)
        );
        let (_, line, _) = refused("a:\n\tb: 1\n");
        assert_eq!(line, 2);
        let (_, line, _) = refused("a: [1, 2\nb: 3\n");
        assert!(line >= 1);
        let (_, line, _) = refused("a: 1\n---\nb: 1\n");
        assert!(line >= 2);
    }

    #[test]
    fn a_usual_slip_has_a_remedy() {
        let help = |text: &str| parse(Path::new("a.yaml"), text).expect_err(text).help;
        assert!(help("a:\n\tb: 1\n").is_some_and(|help| help.contains("tabs")));
        assert!(help("a: { b: ${c.d} }\n").is_some_and(|help| help.contains("quotes")));
        assert!(help("role: observee\n  x: 1\n").is_some_and(|help| help.contains("indentation")));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let uses = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
        }
        refused(&text);
    }

    #[test]
    fn deep_nesting_is_refused_not_fatal() {
        refused(&"[".repeat(100_000));
        refused(&format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)));
    }
}
