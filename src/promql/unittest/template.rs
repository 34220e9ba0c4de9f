//! Templates of labels and annotations: the part of Go's `text/template` that rules use.
//!
//! Pipelines with fields, variables, literals, parentheses and calls; `if`, `with`, `range`, `else`, `end`; comments and
//! trimming. `define`, `template`, `block` and the functions that make HTML and links are refused by name.

use super::calls::Function;

/// How deep actions and parentheses may stand in each other.
const MAX_NESTING: usize = 64;

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("unclosed action")]
    Unclosed,
    #[error("unexpected {0:?} in a template")]
    Unexpected(String),
    #[error("{{{{{0}}}}} without its {{{{end}}}}")]
    NoEnd(String),
    #[error("function {0:?} not defined")]
    NoFunction(String),
    #[error("{0:?} is not supported in templates here")]
    Unsupported(String),
    #[error("undefined variable \"${0}\"")]
    NoVariable(String),
    #[error("template is nested too deeply")]
    Depth,
}

/// A text with actions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template(pub(super) Vec<Node>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    Print(Pipe),
    /// `$x := …`.
    Declare(String, Pipe),
    /// `$x = …`.
    Assign(String, Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
}

/// Commands; each one's result is the last argument of the next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipe(pub(super) Vec<Command>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    Value(Operand),
    Call(Function, Vec<Operand>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// `.` and `.a.b`.
    Dot(Vec<String>),
    /// `$x` and `$x.a.b`.
    Variable(String, Vec<String>),
    Pipe(Pipe, Vec<String>),
    /// A function without arguments.
    Call(Function),
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parser = Parser {
            rest: text,
            depth: 0,
            variables: ["labels", "externalLabels", "externalURL", "value", ""]
                .map(str::to_owned)
                .to_vec(),
        };
        let (nodes, end) = parser.nodes()?;
        match end {
            None => Ok(Self(nodes)),
            Some(word) => Err(TemplateError::Unexpected(word)),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Field(String),
    Variable(String),
    /// `.` alone, `|`, `(`, `)`, `:=`, `=`, `,`.
    Sign(&'static str),
    /// Fields right behind a parenthesis or a variable are part of it.
    Blank,
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
    variables: Vec<String>,
}

type Parsed<T> = Result<T, TemplateError>;
/// The word of the action that ended a list, with what follows it, if one did.
type Ended = Option<String>;

impl<'t> Parser<'t> {
    /// Nodes up to an `end`, an `else` or the end of the text.
    fn nodes(&mut self) -> Parsed<(Vec<Node>, Ended)> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(TemplateError::Depth);
        }
        let known = self.variables.len();
        let mut nodes = Vec::new();
        let end = loop {
            let Some(action) = self.next_action(&mut nodes)? else {
                break None;
            };
            if action.starts_with("/*") {
                continue;
            }
            let word: String = action
                .chars()
                .take_while(|c| c.is_ascii_alphabetic())
                .collect();
            let inside = action[word.len()..].trim();
            match word.as_str() {
                "end" | "else" => break Some(action.to_owned()),
                "if" | "with" | "range" => nodes.push(self.block(&word, inside)?),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(TemplateError::Unsupported(word));
                }
                _ => nodes.push(self.action(action)?),
            }
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok((nodes, end))
    }

    /// The text of the next action. What stands before it becomes a node.
    fn next_action(&mut self, nodes: &mut Vec<Node>) -> Parsed<Option<&'t str>> {
        let Some((before, after)) = self.rest.split_once("{{") else {
            push_text(nodes, self.rest);
            self.rest = "";
            return Ok(None);
        };
        let trims = after
            .strip_prefix("- ")
            .or_else(|| after.strip_prefix("-\n"));
        push_text(
            nodes,
            if trims.is_some() {
                before.trim_end()
            } else {
                before
            },
        );
        let inside = trims.unwrap_or(after);
        let end = action_end(inside).ok_or(TemplateError::Unclosed)?;
        let (mut action, rest) = (&inside[..end], &inside[end + 2..]);
        self.rest = rest;
        if let Some(trimmed) = action.strip_suffix(" -") {
            (action, self.rest) = (trimmed, rest.trim_start());
        }
        Ok(Some(action.trim()))
    }

    fn block(&mut self, word: &str, inside: &str) -> Parsed<Node> {
        let known = self.variables.len();
        let mut tokens = tokens(inside)?;
        if word != "range" && declared(&tokens).is_some() {
            return Err(TemplateError::Unsupported(format!("{word} $variable :=")));
        }
        if word == "range" && tokens.contains(&Token::Sign(":=")) {
            return Err(TemplateError::Unsupported("range $variable :=".to_owned()));
        }
        let pipe = self.pipe(&mut tokens, 0)?;
        no_more(&tokens)?;
        let (then, end) = self.nodes()?;
        let otherwise = match end.as_deref() {
            Some("else") => match self.nodes()? {
                (nodes, Some(end)) if end == "end" => nodes,
                (_, Some(end)) => return Err(TemplateError::Unexpected(end)),
                (_, None) => return Err(TemplateError::NoEnd(word.to_owned())),
            },
            Some(other) if other.starts_with("else ") => {
                let chained = other["else ".len()..].trim();
                match chained.strip_prefix("if ") {
                    Some(condition) if word == "if" => vec![self.block("if", condition)?],
                    _ => return Err(TemplateError::Unexpected(other.to_owned())),
                }
            }
            Some(_) => Vec::new(),
            None => return Err(TemplateError::NoEnd(word.to_owned())),
        };
        self.variables.truncate(known);
        Ok(match word {
            "if" => Node::If(pipe, then, otherwise),
            "with" => Node::With(pipe, then, otherwise),
            _ => Node::Range(pipe, then, otherwise),
        })
    }

    fn action(&mut self, action: &str) -> Parsed<Node> {
        let mut tokens = tokens(action)?;
        let Some((name, is_new)) = declared(&tokens) else {
            let pipe = self.pipe(&mut tokens, 0)?;
            no_more(&tokens)?;
            return Ok(Node::Print(pipe));
        };
        let sign = tokens
            .iter()
            .position(|token| matches!(token, Token::Sign(":=" | "=")))
            .unwrap_or(0);
        tokens.drain(..=sign);
        let pipe = self.pipe(&mut tokens, 0)?;
        no_more(&tokens)?;
        if is_new {
            self.variables.push(name.clone());
            return Ok(Node::Declare(name, pipe));
        }
        if !self.variables.contains(&name) {
            return Err(TemplateError::NoVariable(name));
        }
        Ok(Node::Assign(name, pipe))
    }

    /// Commands, up to a closing parenthesis or the end. `tokens` lose what is read.
    fn pipe(&self, tokens: &mut Vec<Token>, depth: usize) -> Parsed<Pipe> {
        if depth > MAX_NESTING {
            return Err(TemplateError::Depth);
        }
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(tokens, depth, commands.is_empty())?);
            match tokens.first() {
                Some(Token::Sign("|")) => drop(tokens.remove(0)),
                _ => return Ok(Pipe(commands)),
            }
        }
    }

    fn command(&self, tokens: &mut Vec<Token>, depth: usize, is_first: bool) -> Parsed<Command> {
        let mut operands = Vec::new();
        loop {
            while tokens.first() == Some(&Token::Blank) {
                tokens.remove(0);
            }
            match tokens.first() {
                None | Some(Token::Sign("|" | ")")) => break,
                Some(_) => operands.push(self.operand(tokens, depth)?),
            }
        }
        if operands.is_empty() {
            return Err(TemplateError::Unexpected("empty command".to_owned()));
        }
        match operands.remove(0) {
            Operand::Call(function) => Ok(Command::Call(function, operands)),
            value if operands.is_empty() && is_first => Ok(Command::Value(value)),
            value => Err(TemplateError::Unexpected(format!(
                "{value:?} in place of a function"
            ))),
        }
    }

    fn operand(&self, tokens: &mut Vec<Token>, depth: usize) -> Parsed<Operand> {
        let unexpected = |token: &Token| TemplateError::Unexpected(format!("{token:?}"));
        let operand = match tokens.remove(0) {
            Token::Text(text) => Operand::Text(text),
            Token::Number(text) => number(&text)?,
            Token::Word(word) if word == "true" || word == "false" => Operand::Bool(word == "true"),
            Token::Word(word) => Operand::Call(Function::find(&word)?),
            Token::Sign(".") => Operand::Dot(Vec::new()),
            Token::Field(name) => Operand::Dot([vec![name], fields(tokens)].concat()),
            Token::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(TemplateError::NoVariable(name));
                }
                Operand::Variable(name, fields(tokens))
            }
            Token::Sign("(") => {
                let pipe = self.pipe(tokens, depth + 1)?;
                if tokens.first() != Some(&Token::Sign(")")) {
                    return Err(TemplateError::Unexpected("unclosed left paren".to_owned()));
                }
                tokens.remove(0);
                Operand::Pipe(pipe, fields(tokens))
            }
            other => return Err(unexpected(&other)),
        };
        Ok(operand)
    }
}

fn push_text(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node::Text(text.to_owned()));
    }
}

/// Where `}}` ends an action; in a string it does not.
fn action_end(text: &str) -> Option<usize> {
    if text.trim_start().starts_with("/*") {
        let comment = text.find("*/")?;
        return Some(comment + text[comment..].find("}}")?);
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

/// The variable that an action sets, and whether it is a new one.
fn declared(tokens: &[Token]) -> Option<(String, bool)> {
    let mut words = tokens.iter().filter(|token| **token != Token::Blank);
    let Some(Token::Variable(name)) = words.next() else {
        return None;
    };
    match words.next() {
        Some(Token::Sign(":=")) => Some((name.clone(), true)),
        Some(Token::Sign("=")) => Some((name.clone(), false)),
        _ => None,
    }
}

fn no_more(tokens: &[Token]) -> Parsed<()> {
    match tokens.iter().find(|token| **token != Token::Blank) {
        None => Ok(()),
        Some(token) => Err(TemplateError::Unexpected(format!("{token:?}"))),
    }
}

/// Takes the fields that stand next, without a blank.
fn fields(tokens: &mut Vec<Token>) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(Token::Field(_)) = tokens.first() {
        if let Token::Field(name) = tokens.remove(0) {
            names.push(name);
        }
    }
    names
}

fn number(text: &str) -> Parsed<Operand> {
    if let Ok(int) = text.parse() {
        return Ok(Operand::Int(int));
    }
    let float = text
        .parse()
        .map_err(|_| TemplateError::Unexpected(text.to_owned()))?;
    Ok(Operand::Float(float))
}

fn tokens(text: &str) -> Parsed<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let name_end = |from: usize| {
            let tail = &rest[from..];
            let end = tail.find(|c: char| !c.is_alphanumeric() && c != '_');
            from + end.unwrap_or(tail.len())
        };
        let (token, length) = match c {
            c if c.is_whitespace() => (Token::Blank, c.len_utf8()),
            '"' => {
                let length = crate::lexer::text::scan_string(rest)
                    .map_err(|_| TemplateError::Unexpected(rest.to_owned()))?;
                (
                    Token::Text(crate::lexer::text::unquote(&rest[..length])),
                    length,
                )
            }
            '`' => {
                let end = rest[1..].find('`').ok_or(TemplateError::Unclosed)? + 1;
                (Token::Text(rest[1..end].to_owned()), end + 1)
            }
            '.' if name_end(1) > 1 && !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                (Token::Field(rest[1..name_end(1)].to_owned()), name_end(1))
            }
            '.' => (Token::Sign("."), 1),
            '$' => (
                Token::Variable(rest[1..name_end(1)].to_owned()),
                name_end(1),
            ),
            '|' => (Token::Sign("|"), 1),
            '(' => (Token::Sign("("), 1),
            ')' => (Token::Sign(")"), 1),
            ',' => (Token::Sign(","), 1),
            ':' if rest.starts_with(":=") => (Token::Sign(":="), 2),
            '=' => (Token::Sign("="), 1),
            c if c.is_ascii_digit() || c == '-' || c == '+' => {
                let tail = &rest[1..];
                let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_');
                let length = 1 + end.unwrap_or(tail.len());
                (Token::Number(rest[..length].to_owned()), length)
            }
            c if c.is_alphabetic() || c == '_' => {
                (Token::Word(rest[..name_end(0)].to_owned()), name_end(0))
            }
            other => return Err(TemplateError::Unexpected(other.to_string())),
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    Ok(tokens)
}
