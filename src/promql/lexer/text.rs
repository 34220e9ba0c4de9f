//! Strings: Go's escapes in single or double quotes, none in backquotes; and Go's `%q` for messages.

const INVALID: &str = "invalid UTF-8 rune";

/// Where a quoted string that starts at the beginning of `rest` ends, its quotes included; or what is wrong with it.
pub(crate) fn scan_string(rest: &str) -> Result<usize, String> {
    let Some(open) = rest.chars().next() else {
        return Err("unterminated quoted string".to_owned());
    };
    if open == '`' {
        let close = rest[1..].find(['`', char::REPLACEMENT_CHARACTER]);
        let close = close.ok_or_else(|| "unterminated raw string".to_owned())?;
        return match rest.as_bytes()[1 + close] {
            b'`' => Ok(close + 2),
            _ => Err(INVALID.to_owned()),
        };
    }
    let mut at = 1;
    loop {
        match rest[at..].chars().next() {
            None | Some('\n') => return Err("unterminated quoted string".to_owned()),
            // What stands for bytes that are no UTF-8.
            Some(char::REPLACEMENT_CHARACTER) => return Err(INVALID.to_owned()),
            Some(c) if c == open => return Ok(at + 1),
            Some('\\') => at += 1 + unescape(&rest[at + 1..], open)?.1,
            Some(c) => at += c.len_utf8(),
        }
    }
}

enum Unescaped {
    Char(char),
    Byte(u8),
}

/// Reads what follows a backslash: what it means, and how many bytes it takes.
fn unescape(tail: &str, quote: char) -> Result<(Unescaped, usize), String> {
    let unterminated = || "escape sequence not terminated".to_owned();
    let c = tail.chars().next().ok_or_else(unterminated)?;
    let (skip, digits, base, most) = match c {
        'a' => return Ok((Unescaped::Byte(7), 1)),
        'b' => return Ok((Unescaped::Byte(8), 1)),
        'f' => return Ok((Unescaped::Byte(12), 1)),
        'n' => return Ok((Unescaped::Byte(b'\n'), 1)),
        'r' => return Ok((Unescaped::Byte(b'\r'), 1)),
        't' => return Ok((Unescaped::Byte(b'\t'), 1)),
        'v' => return Ok((Unescaped::Byte(11), 1)),
        '\\' => return Ok((Unescaped::Byte(b'\\'), 1)),
        c if c == quote => return Ok((Unescaped::Char(c), c.len_utf8())),
        '0'..='7' => (0, 3, 8, 0xff),
        'x' => (1, 2, 16, 0xff),
        'u' => (1, 4, 16, 0x0010_ffff),
        'U' => (1, 8, 16, 0x0010_ffff),
        c => return Err(format!("unknown escape sequence {}", code_point(c))),
    };
    let mut value = 0u32;
    let mut chars = tail[skip..].chars();
    for _ in 0..digits {
        let c = chars.next().ok_or_else(unterminated)?;
        let digit = c
            .to_digit(base)
            .ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
        value = value.wrapping_mul(base).wrapping_add(digit);
    }
    let invalid = "escape sequence is an invalid Unicode code point";
    if value > most {
        return Err(invalid.to_owned());
    }
    let meant = match u8::try_from(value) {
        Ok(byte) if most == 0xff => Unescaped::Byte(byte),
        _ => Unescaped::Char(char::from_u32(value).ok_or_else(|| invalid.to_owned())?),
    };
    Ok((meant, skip + digits))
}

/// Where the last private plane of Unicode keeps bytes that are no UTF-8 (`\xff` makes such), apart from all text.
const RAW_BYTES: u32 = 0x0010_ff00;

fn raw_byte(c: char) -> Option<u8> {
    let byte = u32::from(c).checked_sub(RAW_BYTES)?;
    u8::try_from(byte).ok().filter(|byte| *byte >= 0x80)
}

/// Whether an unquoted text has no bytes that are no UTF-8: no label is called or has what is none.
pub(crate) fn is_utf8(text: &str) -> bool {
    !text.chars().any(|c| raw_byte(c).is_some())
}

fn from_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let raw = chunk.invalid().iter();
        text.extend(raw.filter_map(|byte| char::from_u32(RAW_BYTES + u32::from(*byte))));
    }
    text
}

/// The text of a string literal that [`scan_string`] accepted. [`is_utf8`] tells of bytes in it that are no UTF-8.
pub(crate) fn unquote(literal: &str) -> String {
    let Some(quote) = literal.chars().next() else {
        return String::new();
    };
    let inner = literal
        .get(1..literal.len().saturating_sub(1))
        .unwrap_or_default();
    if quote == '`' || !inner.contains('\\') {
        return inner.to_owned();
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(inner.len()), inner);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let tail = &rest[at + 1..];
        let Ok((meant, skip)) = unescape(tail, quote) else {
            break;
        };
        match meant {
            Unescaped::Byte(byte) => bytes.push(byte),
            Unescaped::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &tail[skip..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    from_bytes(&bytes)
}

/// Go's `%#U`.
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

fn escaped(c: char, quote: char) -> String {
    match c {
        c if c == quote || c == '\\' => format!("\\{c}"),
        '\u{7}' => r"\a".to_owned(),
        '\u{8}' => r"\b".to_owned(),
        '\u{c}' => r"\f".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\t' => r"\t".to_owned(),
        '\u{b}' => r"\v".to_owned(),
        c if raw_byte(c).is_some() => {
            format!("\\x{:02x}", raw_byte(c).unwrap_or_default())
        }
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// Go's `%q` of a string.
pub(crate) fn quote(text: &str) -> String {
    let inner: String = text.chars().map(|c| escaped(c, '"')).collect();
    format!("\"{inner}\"")
}

/// Go's `%q` of a string; of a long one only the first `most` characters.
pub(crate) fn quote_start(text: &str, most: usize) -> String {
    if text.len() <= most {
        return quote(text);
    }
    let start: String = text.chars().take(most).collect();
    format!("{}...", quote(&start))
}

/// Go's `%q` of a character; the end of input is U+FFFD.
pub(super) fn quote_char(c: Option<char>) -> String {
    format!("'{}'", escaped(c.unwrap_or('\u{fffd}'), '\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_go() {
        for (literal, text) in [
            (r#""a\"b""#, "a\"b"),
            (r"'a\'b'", "a'b"),
            (r"`a\n`", r"a\n"),
            (r#""\t\x41\101\u00e9\U0001F600""#, "\tAAé😀"),
            (r#""\xc3\xa9""#, "é"),
            (r#""\\d""#, r"\d"),
        ] {
            assert_eq!(scan_string(literal), Ok(literal.len()), "{literal}");
            assert_eq!(unquote(literal), text);
        }
    }

    #[test]
    fn broken_strings_say_why() {
        for (literal, message) in [
            (r#""abc"#, "unterminated quoted string"),
            ("\"a\nb\"", "unterminated quoted string"),
            ("`abc", "unterminated raw string"),
            (r#""\d""#, "unknown escape sequence U+0064 'd'"),
            (
                r#""\xg0""#,
                "illegal character U+0067 'g' in escape sequence",
            ),
            (
                r#""\400""#,
                "escape sequence is an invalid Unicode code point",
            ),
            (
                r#""\ud800""#,
                "escape sequence is an invalid Unicode code point",
            ),
            (r#""\"#, "escape sequence not terminated"),
        ] {
            assert_eq!(scan_string(literal), Err(message.to_owned()), "{literal}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_kept() {
        let text = unquote(r#""a\xc5z\xc3\xa9""#);
        assert!(!is_utf8(&text));
        assert_eq!(quote(&text), r#""a\xc5zé""#);
        assert!(is_utf8("a\u{fffd}"));
    }

    #[test]
    fn quoting_is_that_of_go() {
        assert_eq!(quote("a\"\n\u{1}é"), r#""a\"\n\x01é""#);
        assert_eq!(quote_start("0123456789a", 10), r#""0123456789"..."#);
        assert_eq!(quote_char(Some('\'')), r"'\''");
    }
}
