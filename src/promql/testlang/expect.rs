//! What a directive says about errors, warnings and notes.

use model::{MatchKind, Matcher};

/// A text to be matched.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Any,
    /// The whole text.
    Message(String),
    Regex(Box<Matcher>),
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Message(message) => message == text,
            Self::Regex(regex) => regex.matches(text),
        }
    }

    pub(super) fn regex(pattern: &str) -> Result<Self, String> {
        // A matcher is anchored, these are not.
        let found_anywhere = format!(".*(?:{pattern}).*");
        Matcher::new(MatchKind::Regex, "text", found_anywhere)
            .map(|matcher| Self::Regex(Box::new(matcher)))
            .map_err(|error| format!("{pattern:?}: {error}"))
    }
}

/// The `expect` lines of one evaluation.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectations {
    pub(super) ordered: bool,
    pub(super) fail: Option<Pattern>,
    pub(super) warn: Vec<Pattern>,
    pub(super) info: Vec<Pattern>,
    pub(super) no_warn: bool,
    pub(super) no_info: bool,
}

impl Expectations {
    /// Reads what follows `expect `: `fail`, `warn msg: …`, `info regex: …` and so on.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        let (kind, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let pattern = match rest.trim_start().split_once(':') {
            None if rest.trim().is_empty() => Pattern::Any,
            Some(("msg", message)) => Pattern::Message(message.trim().to_owned()),
            Some(("regex", pattern)) => Pattern::regex(pattern.trim())?,
            _ => return Err(format!("invalid expect statement {text:?}")),
        };
        match kind {
            "ordered" => self.ordered = true,
            "fail" if self.fail.is_some() => return Err("more than one expect fail".to_owned()),
            "fail" => self.fail = Some(pattern),
            "warn" => self.warn.push(pattern),
            "no_warn" => self.no_warn = true,
            "info" => self.info.push(pattern),
            "no_info" => self.no_info = true,
            _ => return Err(format!("invalid expect statement {text:?}")),
        }
        Ok(())
    }

    pub(super) fn check_failure(&self, error: &str) -> Result<(), String> {
        match &self.fail {
            None => Err(format!("failed: {error}")),
            Some(pattern) if pattern.matches(error) => Ok(()),
            Some(pattern) => Err(format!(
                "expected to fail with {pattern:?}, failed with {error:?}"
            )),
        }
    }

    pub(super) fn check_annotations(
        &self,
        warnings: &[String],
        infos: &[String],
    ) -> Result<(), String> {
        check("warning", &self.warn, self.no_warn, warnings)?;
        check("info", &self.info, self.no_info, infos)
    }
}

fn check(kind: &str, wanted: &[Pattern], none: bool, got: &[String]) -> Result<(), String> {
    if none && !got.is_empty() {
        return Err(format!("unexpected {kind}s {got:?}"));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    if let Some(missing) = wanted.iter().find(|w| !got.iter().any(|g| w.matches(g))) {
        return Err(format!("expected {kind} {missing:?}, got {got:?}"));
    }
    match got.iter().find(|g| !wanted.iter().any(|w| w.matches(g))) {
        Some(extra) => Err(format!("unexpected {kind} {extra:?}")),
        None => Ok(()),
    }
}
