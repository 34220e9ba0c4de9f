//! Tokens of one `${…}`, with byte ranges inside the scalar that holds it.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A name or a member: letters, digits, `_` and `-`; `5m` is one too.
    Name(String),
    Quoted(String),
    Dot,
    Star,
    Open,
    Close,
    Equal,
    NotEqual,
    Not,
    And,
    Or,
    Else,
    /// The closing brace.
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
}

/// A text that is no expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SyntaxError {
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl SyntaxError {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            range,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Tokens of an expression at most: the parser and the evaluation recurse at most as deep.
const LONGEST: usize = 500;

/// Splits `text` from `start`, the byte behind `${`, up to and with the closing brace.
pub(super) fn tokens(text: &str, start: usize) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut at = start;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let token = next(text, start, at)?;
        at = token.range.end;
        let ended = token.kind == TokenKind::End;
        if tokens.len() == LONGEST {
            return Err(SyntaxError::new(token.range, "this expression is too long"));
        }
        tokens.push(token);
        if ended {
            return Ok(tokens);
        }
    }
}

fn next(text: &str, start: usize, at: usize) -> Result<Token, SyntaxError> {
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else {
        return Err(
            SyntaxError::new(start - 2..text.len(), "`${` without its closing `}`")
                .help("write `$${` for a literal `${`"),
        );
    };
    let token = |kind, len| {
        Ok(Token {
            kind,
            range: at..at + len,
        })
    };
    for (sign, kind) in SIGNS {
        if rest.starts_with(sign) {
            return token(kind.clone(), sign.len());
        }
    }
    match first {
        '\'' | '"' => quoted(text, at, first),
        _ if is_name(first) => {
            let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            token(TokenKind::Name(rest[..len].to_owned()), len)
        }
        _ => Err(stray(at..at + first.len_utf8(), first)),
    }
}

/// Longer signs stand before their own beginnings.
const SIGNS: &[(&str, TokenKind)] = &[
    ("==", TokenKind::Equal),
    ("!=", TokenKind::NotEqual),
    ("&&", TokenKind::And),
    ("||", TokenKind::Or),
    ("??", TokenKind::Else),
    ("!", TokenKind::Not),
    (".", TokenKind::Dot),
    ("*", TokenKind::Star),
    ("[", TokenKind::Open),
    ("]", TokenKind::Close),
    ("}", TokenKind::End),
];

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A text in quotes; a backslash makes the next character literal.
fn quoted(text: &str, at: usize, quote: char) -> Result<Token, SyntaxError> {
    let mut value = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c if c == quote => {
                let range = at..at + 1 + index + 1;
                return Ok(Token {
                    kind: TokenKind::Quoted(value),
                    range,
                });
            }
            c => value.push(c),
        }
    }
    Err(SyntaxError::new(at..text.len(), "this text is not closed")
        .help(format!("close it with {quote}")))
}

fn stray(range: Range<usize>, c: char) -> SyntaxError {
    let error = SyntaxError::new(range, format!("unexpected `{c}` in an expression"));
    match c {
        '(' | ')' => error.help(
            "expressions have no functions and no parentheses: a role repeats with `for_each`",
        ),
        '+' | '/' | '%' | '<' | '>' => {
            error.help("expressions have no arithmetic: write the value, or put it into text")
        }
        ':' => error.help("for a default write `${a ?? b}`"),
        '=' => error.help("compare with `==`"),
        '&' => error.help("write `&&`"),
        '|' => error.help("write `||`; expressions have no filters"),
        '?' => error.help("for a default write `${a ?? b}`; there is no `a ? b : c`"),
        '{' | '$' => {
            error.help("an expression holds no other expression: leave out the inner `${`")
        }
        _ => error.help("an expression is a path such as `${cluster.id}`"),
    }
}
