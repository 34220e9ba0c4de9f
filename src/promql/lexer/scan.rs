//! Numbers and durations, as far as the lexer looks at them; their values are the parser's business.

/// A place in the text, moved forward by what is accepted.
pub(super) struct Scan<'a> {
    pub(super) rest: &'a str,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn is(&self, set: &str) -> bool {
        self.peek().is_some_and(|c| set.contains(c))
    }

    fn accept(&mut self, set: &str) -> bool {
        match self.peek() {
            Some(c) if set.contains(c) => {
                self.rest = &self.rest[c.len_utf8()..];
                true
            }
            _ => false,
        }
    }

    fn at_word_end(&self) -> bool {
        !self
            .peek()
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// Moves over a number; whether it is one. A dot and an exponent may come once, an underscore only between
    /// digits, a fraction not in hexadecimal.
    pub(super) fn number(&mut self) -> bool {
        let before = self.rest.len();
        let mut digits = "0123456789";
        if self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
        }
        // Prometheus forgets a leading dot: `.5.5` fails in the parser instead.
        self.accept(".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        loop {
            if self.is(".") {
                self.accept(".");
                if dot || self.accept("_.") || digits.len() > 10 {
                    return false;
                }
                dot = true;
            } else if self.is("eE") {
                self.accept("eE");
                if exponent {
                    return false;
                }
                exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.rest.is_empty() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.rest.is_empty() {
                    return false;
                }
            } else if !self.accept(digits) {
                break;
            }
        }
        self.rest.len() != before && self.at_word_end()
    }

    /// Moves over what follows the first number of a duration; whether it can be one.
    pub(super) fn rest_of_duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if !self.at_word_end() {
            // The character that broke it is shown in the message.
            self.rest = &self.rest[1..];
            return false;
        }
        true
    }
}
