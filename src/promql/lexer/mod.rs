//! Text into tokens. Where Prometheus's lexer gives up, this one gives up at the same place with the same words
//! (`promql/parser/lex.go` is the reference for both).

mod scan;
pub(crate) mod text;
pub(crate) mod token;

use crate::Span;
use crate::parser::ast::BinaryOp;

use scan::Scan;
use text::{quote, quote_char, scan_string};
pub(crate) use token::{Keyword, Token, TokenKind};

/// All tokens of `input`. The last one is [`TokenKind::Eof`], or [`TokenKind::Error`] with the message.
pub(crate) fn tokens(input: &str) -> (Vec<Token<'_>>, String) {
    let mut lexer = Lexer::new(input);
    let mut found = Vec::new();
    loop {
        match lexer.token() {
            Ok(kind) => {
                let token = lexer.emit(kind);
                found.push(token);
                if kind == TokenKind::Eof {
                    return (found, String::new());
                }
            }
            Err(message) => {
                let token = lexer.emit(TokenKind::Error);
                found.push(token);
                return (found, message);
            }
        }
    }
}

struct Lexer<'a> {
    input: &'a str,
    /// Where the token begins, and how far it goes so far.
    start: usize,
    position: usize,
    line: u32,
    line_start: usize,
    parens: u32,
    in_braces: bool,
    in_brackets: bool,
    /// Right after `[`, before the first number.
    before_duration: bool,
    seen_colon: bool,
    /// A number stood in some brackets before, these or others.
    seen_duration: bool,
}

/// A token, or why there is none.
type Found = Result<TokenKind, String>;

impl<'a> Lexer<'a> {
    fn new(input: &'a str) -> Self {
        Self {
            input,
            start: 0,
            position: 0,
            line: 1,
            line_start: 0,
            parens: 0,
            in_braces: false,
            in_brackets: false,
            before_duration: false,
            seen_colon: false,
            seen_duration: false,
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.position += c.len_utf8();
        }
        found
    }

    fn emit(&mut self, kind: TokenKind) -> Token<'a> {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let span = Span {
            start: offset(self.start),
            end: offset(self.position),
            line: self.line,
            column: offset(self.start - self.line_start + 1),
        };
        Token {
            kind,
            span,
            text: &self.input[self.start..self.position],
        }
    }

    /// Moves the token's beginning here, counting the lines passed.
    fn begin(&mut self) {
        for (at, byte) in self.input.as_bytes()[self.start..self.position]
            .iter()
            .enumerate()
        {
            if *byte == b'\n' {
                self.line += 1;
                self.line_start = self.start + at + 1;
            }
        }
        self.start = self.position;
    }

    fn token(&mut self) -> Found {
        self.begin();
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            self.position += blank;
            if self.before_duration || !self.rest().starts_with('#') {
                break;
            }
            let comment = self.rest();
            self.position += comment.find(['\n', '\r']).unwrap_or(comment.len());
        }
        self.begin();
        if self.before_duration {
            self.in_duration()
        } else if self.in_braces {
            self.in_braces()
        } else {
            self.in_statement()
        }
    }

    fn in_statement(&mut self) -> Found {
        let Some(c) = self.next() else {
            return match (self.parens, self.in_brackets) {
                (0, false) => Ok(TokenKind::Eof),
                (0, true) => Err("unclosed left bracket".to_owned()),
                _ => Err("unclosed left parenthesis".to_owned()),
            };
        };
        match c {
            ',' => Ok(TokenKind::Comma),
            '@' => Ok(TokenKind::At),
            '(' | ')' => self.paren(c),
            '[' | ']' => self.bracket(c),
            '{' => {
                self.in_braces = true;
                Ok(TokenKind::LeftBrace)
            }
            '"' | '\'' | '`' => self.string(),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => self.number(),
            c if c.is_ascii_digit() => self.number(),
            c if is_alpha(c) || c == ':' => self.word(c),
            c => self.operator(c),
        }
    }

    fn operator(&mut self, c: char) -> Found {
        Ok(TokenKind::Operator(match c {
            '*' => BinaryOp::Mul,
            '/' => BinaryOp::Div,
            '%' => BinaryOp::Mod,
            '+' => BinaryOp::Add,
            '-' => BinaryOp::Sub,
            '^' => BinaryOp::Pow,
            '=' if self.accept('=') => BinaryOp::Eql,
            '=' if self.peek() == Some('~') => {
                return Err("unexpected character after '=': '~'".to_owned());
            }
            '=' => return Ok(TokenKind::Equal),
            '!' => match self.next() {
                Some('=') => BinaryOp::Neq,
                c => return Err(format!("unexpected character after '!': {}", quote_char(c))),
            },
            '<' if self.accept('=') => BinaryOp::Lte,
            '<' if self.accept('/') => BinaryOp::TrimUpper,
            '<' => BinaryOp::Lss,
            '>' if self.accept('=') => BinaryOp::Gte,
            '>' if self.accept('/') => BinaryOp::TrimLower,
            '>' => BinaryOp::Gtr,
            c => return Err(format!("unexpected character: {}", quote_char(Some(c)))),
        }))
    }

    fn paren(&mut self, c: char) -> Found {
        if c == '(' {
            self.parens += 1;
            return Ok(TokenKind::LeftParen);
        }
        match self.parens.checked_sub(1) {
            Some(open) => self.parens = open,
            None => {
                // Prometheus has let the parenthesis go when it complains: the place is the one behind.
                self.begin();
                return Err("unexpected right parenthesis ')'".to_owned());
            }
        }
        Ok(TokenKind::RightParen)
    }

    fn bracket(&mut self, c: char) -> Found {
        match (c, self.in_brackets) {
            ('[', true) => Err("unexpected left bracket '['".to_owned()),
            ('[', false) => {
                self.in_brackets = true;
                self.before_duration = true;
                self.seen_colon = false;
                Ok(TokenKind::LeftBracket)
            }
            (_, false) => Err("unexpected right bracket ']'".to_owned()),
            _ => {
                self.in_brackets = false;
                Ok(TokenKind::RightBracket)
            }
        }
    }

    /// Between `[` and the first number, where expressions over durations may stand.
    fn in_duration(&mut self) -> Found {
        let Some(c) = self.next() else {
            return Err("unexpected end of input in duration expression".to_owned());
        };
        match c {
            ']' => {
                self.before_duration = false;
                self.in_brackets = false;
                Ok(TokenKind::RightBracket)
            }
            ':' if !self.seen_duration => {
                self.begin();
                Err("unexpected colon before duration in duration expression".to_owned())
            }
            ':' if self.seen_colon => {
                self.begin();
                Err("unexpected repeated colon in duration expression".to_owned())
            }
            ':' => {
                self.seen_colon = true;
                Ok(TokenKind::Colon)
            }
            '(' | ')' => self.paren(c),
            '+' | '-' | '*' | '/' | '%' | '^' => self.operator(c),
            ',' => Ok(TokenKind::Comma),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                Err(unexpected_in_duration(c))
            }
            '.' | '0'..='9' => {
                self.before_duration = false;
                self.seen_duration = true;
                self.number()
            }
            c => self
                .duration_word()
                .ok_or_else(|| unexpected_in_duration(c)),
        }
    }

    /// `step`, `range`, `min_of`, `max_of`.
    fn duration_word(&mut self) -> Option<TokenKind> {
        while self.peek().is_some_and(is_alpha) {
            self.next();
        }
        let word = &self.input[self.start..self.position];
        ["step", "range", "min_of", "max_of"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
            .then(|| token::keyword(word))?
    }

    fn number(&mut self) -> Found {
        let mut scan = Scan {
            rest: &self.input[self.start..],
        };
        let kind = if scan.number() {
            Some(TokenKind::Number)
        } else if scan.rest_of_duration() {
            Some(TokenKind::Duration)
        } else {
            None
        };
        self.position = self.input.len() - scan.rest.len();
        kind.ok_or_else(|| {
            let text = &self.input[self.start..self.position];
            format!("bad number or duration syntax: {}", quote(text))
        })
    }

    fn string(&mut self) -> Found {
        let length = scan_string(&self.input[self.start..])?;
        self.position = self.start + length;
        Ok(TokenKind::String)
    }

    fn word(&mut self, first: char) -> Found {
        if self.in_brackets {
            return self.word_in_brackets(first);
        }
        while self.peek().is_some_and(|c| is_alphanumeric(c) || c == ':') {
            self.next();
        }
        let word = &self.input[self.start..self.position];
        Ok(match token::keyword(word) {
            // As a name these are older than as modifiers.
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self
                    .rest()
                    .trim_start_matches([' ', '\t', '\n', '\r'])
                    .starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        })
    }

    fn word_in_brackets(&mut self, first: char) -> Found {
        if first != ':' {
            return self.duration_word().ok_or_else(|| {
                format!(
                    "unexpected character: {}, expected ':'",
                    quote_char(Some(first))
                )
            });
        }
        if self.seen_colon {
            return Err("unexpected colon ':'".to_owned());
        }
        self.seen_colon = true;
        Ok(TokenKind::Colon)
    }

    fn in_braces(&mut self) -> Found {
        let Some(c) = self.next() else {
            return Err("unexpected end of input inside braces".to_owned());
        };
        match c {
            ',' => Ok(TokenKind::Comma),
            '"' | '\'' | '`' => self.string(),
            '=' if self.accept('~') => Ok(TokenKind::EqualRegex),
            '=' => Ok(TokenKind::Equal),
            '!' => match self.next() {
                Some('~') => Ok(TokenKind::NotRegex),
                Some('=') => Ok(TokenKind::Operator(BinaryOp::Neq)),
                c => Err(format!(
                    "unexpected character after '!' inside braces: {}",
                    quote_char(c)
                )),
            },
            '{' => Err("unexpected left brace '{'".to_owned()),
            '}' => {
                self.in_braces = false;
                Ok(TokenKind::RightBrace)
            }
            c if is_alpha(c) => {
                while self.peek().is_some_and(is_alphanumeric) {
                    self.next();
                }
                Ok(TokenKind::Identifier)
            }
            c => Err(format!(
                "unexpected character inside braces: {}",
                quote_char(Some(c))
            )),
        }
    }
}

fn unexpected_in_duration(c: char) -> String {
    format!(
        "unexpected character in duration expression: {}",
        quote_char(Some(c))
    )
}

fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

#[cfg(test)]
mod tests;
