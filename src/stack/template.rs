//! Text from Handlebars templates: strict (a name that is not given is a mistake) and without HTML escaping.
//!
//! The helper `json` writes a value as JSON, which is YAML too: `{{json name}}` is quoted as needed.

use std::path::{Path, PathBuf};

use handlebars::{Handlebars, RenderError, TemplateError, handlebars_helper};
use indexmap::IndexMap;

use crate::diagnostic::closest;
use crate::{Diagnostic, Position, Secret, Unknown, Value};

handlebars_helper!(json: |value: Json| value.to_string());

/// All templates of a fleet, read once.
#[derive(Debug)]
pub(crate) struct Templates {
    engine: Handlebars<'static>,
    files: IndexMap<String, PathBuf>,
}

impl Templates {
    pub(crate) fn new() -> Self {
        let mut engine = Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(handlebars::no_escape);
        engine.register_helper("json", Box::new(json));
        Self {
            engine,
            files: IndexMap::new(),
        }
    }

    /// Adds a template by its path below `templates/`.
    pub(crate) fn add(
        &mut self,
        name: &str,
        file: &Path,
        text: &str,
    ) -> Result<(), Box<Diagnostic>> {
        self.files.insert(name.to_owned(), file.to_owned());
        self.engine
            .register_template_string(name, text)
            .map_err(|error| Box::new(unreadable(file, text, &error)))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The text of a template. It is a secret if `with` holds one, and unknown as long as any part of `with` is.
    ///
    /// # Errors
    /// A mistake at `position` (where the template is used) that names the place in the template.
    pub(crate) fn render(
        &self,
        name: &str,
        with: &Value,
        position: &Position,
    ) -> Result<Value, Box<Diagnostic>> {
        if !with.is_known() {
            return Ok(Value::Unknown(Unknown {
                of: with.waits_for(),
            }));
        }
        let text = self
            .engine
            .render(name, &to_json(with))
            .map_err(|error| Box::new(self.unrenderable(name, with, &error, position)))?;
        let mut secret = false;
        with.visit(&mut |value| secret |= matches!(value, Value::Secret(_)));
        Ok(if secret {
            Value::Secret(Secret::new(text))
        } else {
            Value::String(text)
        })
    }

    fn unrenderable(
        &self,
        name: &str,
        with: &Value,
        error: &RenderError,
        position: &Position,
    ) -> Diagnostic {
        use handlebars::RenderErrorReason::MissingVariable;
        let template = error.template_name.as_deref().unwrap_or(name);
        let place = match (error.line_no, error.column_no) {
            (Some(line), Some(column)) => format!("{template}:{line}:{column}"),
            _ => template.to_owned(),
        };
        let MissingVariable(missing) = error.reason() else {
            return Diagnostic::at(position.clone(), format!("{place}: {}", error.reason()));
        };
        let missing = missing.as_deref().unwrap_or("?");
        let message = format!("{place}: nothing is given for `{missing}`");
        let mut mistake = Diagnostic::at(position.clone(), message)
            .help("give it under `with`, or leave it out of the template");
        let names = with
            .as_map()
            .into_iter()
            .flat_map(|map| map.keys())
            .map(String::as_str);
        mistake.candidates = closest(missing, names);
        mistake
    }
}

fn unreadable(file: &Path, text: &str, error: &TemplateError) -> Diagnostic {
    let (line, column) = error.pos().unwrap_or((1, 1));
    let (line, column) = (line.max(1), column.max(1));
    let lines = text.split_inclusive('\n');
    let above: usize = lines.clone().take(line - 1).map(str::len).sum();
    let here = lines.clone().nth(line - 1).unwrap_or_default().chars();
    let before: usize = here.take(column - 1).map(char::len_utf8).sum();
    let place = Position {
        file: file.to_owned(),
        line,
        column,
        offset: above + before,
        len: 1,
    };
    Diagnostic::at(place, format!("not a template: {}", error.reason()))
}

/// The value as templates see it, secrets revealed.
fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Unknown(_) => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Secret(secret) => secret.reveal().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), to_json(value)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn place() -> Position {
        Position {
            file: "local.yaml".into(),
            line: 3,
            column: 5,
            offset: 20,
            len: 4,
        }
    }

    fn with(entries: &[(&str, Value)]) -> Value {
        Value::Map(
            entries
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
        )
    }

    fn templates(text: &str) -> Templates {
        let mut templates = Templates::new();
        templates
            .add("t.hbs", Path::new("templates/t.hbs"), text)
            .expect("a template");
        templates
    }

    #[test]
    fn text_is_not_escaped_and_json_quotes_it() {
        let templates = templates("a: {{a}}\nb: {{json a}}\n");
        let text = templates.render("t.hbs", &with(&[("a", "<\"&>".into())]), &place());
        assert_eq!(text, Ok("a: <\"&>\nb: \"<\\\"&>\"\n".into()));
    }

    #[test]
    fn a_secret_makes_the_text_a_secret_and_an_unknown_makes_it_unknown() {
        let templates = templates("{{a}}{{b}}");
        let secret = Value::Secret(Secret::new("s"));
        let text = templates.render(
            "t.hbs",
            &with(&[("a", secret), ("b", "x".into())]),
            &place(),
        );
        assert_eq!(text, Ok(Value::Secret(Secret::new("sx"))));
        let inner = Value::Map(BTreeMap::from([("c".to_owned(), Value::unknown("r.c"))]));
        let text = templates.render("t.hbs", &with(&[("a", inner), ("b", "x".into())]), &place());
        assert_eq!(text, Ok(Value::unknown("r.c")));
    }

    #[test]
    fn a_name_that_is_not_given_is_a_mistake_with_its_place_in_the_template() {
        let templates = templates("x\ny: {{adress}}\n");
        let mistake = templates
            .render("t.hbs", &with(&[("address", "a".into())]), &place())
            .expect_err("not given");
        assert_eq!(mistake.message, "t.hbs:2:4: nothing is given for `adress`");
        assert_eq!(mistake.candidates, ["address"]);
        assert_eq!(mistake.position, Some(place()));
    }

    #[test]
    fn a_text_that_is_no_template_is_a_mistake_in_its_file() {
        let mistake = Templates::new()
            .add("t.hbs", Path::new("templates/t.hbs"), "a\n{{#if x}}\n")
            .expect_err("never closed");
        assert_eq!(
            mistake.position.expect("a place").file,
            Path::new("templates/t.hbs")
        );
    }
}
