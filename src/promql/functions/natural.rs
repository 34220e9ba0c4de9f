//! The natural order of texts that `sort_by_label` uses: runs of digits compare as numbers.

/// Whether `a` comes before another text `b`. The empty text precedes nothing, and nothing precedes it.
pub(crate) fn precedes(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (Chunks(a).peekable(), Chunks(b).peekable());
    while let Some(left) = a.next() {
        let Some(right) = b.next() else {
            return false;
        };
        let same = match (left.parse::<i64>(), right.parse::<i64>()) {
            (Ok(left), Ok(right)) if left != right => return left < right,
            (Ok(_), Ok(_)) => true,
            _ => left == right,
        };
        if !same {
            return left < right;
        }
        if a.peek().is_none() {
            return true;
        }
        if b.peek().is_none() {
            return false;
        }
    }
    false
}

/// Runs of digits and runs of anything else.
struct Chunks<'a>(&'a str);

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let digits = self.0.chars().next()?.is_ascii_digit();
        let end = self.0.find(|c: char| c.is_ascii_digit() != digits);
        let (chunk, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_as_numbers() {
        for (first, second) in [
            ("cpu2", "cpu10"),
            ("4m600", "4m1000"),
            ("4", "a"),
            ("a", "a1"),
        ] {
            assert!(precedes(first, second), "{first} {second}");
            assert!(!precedes(second, first), "{second} {first}");
        }
        assert!(!precedes("", "a") && !precedes("a", ""));
    }
}
