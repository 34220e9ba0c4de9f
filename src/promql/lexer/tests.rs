use super::*;

fn kinds(input: &str) -> Vec<TokenKind> {
    tokens(input).0.iter().map(|token| token.kind).collect()
}

#[test]
fn words_are_keywords_outside_of_braces_only() {
    use TokenKind::*;
    assert_eq!(
        kinds("SUM{sum=\"x\"} offset"),
        [
            Aggregator(crate::parser::ast::AggregateOp::Sum),
            LeftBrace,
            Identifier,
            Equal,
            String,
            RightBrace,
            Keyword(token::Keyword::Offset),
            Eof
        ]
    );
    assert_eq!(
        kinds("a:b inf 1h30m 0x1F #rest\n +"),
        [
            MetricIdentifier,
            Number,
            Duration,
            Number,
            Operator(BinaryOp::Add),
            Eof
        ]
    );
}

#[test]
fn places_are_lines_and_bytes() {
    let (found, _) = tokens("a +\n  # é\n  \"é\" + b");
    let places: Vec<_> = found
        .iter()
        .map(|t| (t.span.line, t.span.column, t.text))
        .collect();
    assert_eq!(
        places,
        [
            (1, 1, "a"),
            (1, 3, "+"),
            (3, 3, "\"é\""),
            (3, 8, "+"),
            (3, 10, "b"),
            (3, 11, "")
        ]
    );
}

#[test]
fn what_cannot_be_read_is_told_in_prometheus_words() {
    for (input, column, message) in [
        ("(", 2, "unclosed left parenthesis"),
        (")", 2, "unexpected right parenthesis ')'"),
        ("a[5m", 5, "unclosed left bracket"),
        ("a]", 2, "unexpected right bracket ']'"),
        ("a[", 3, "unexpected end of input in duration expression"),
        (
            "a[foo]",
            3,
            "unexpected character in duration expression: 'f'",
        ),
        ("a[5m foo]", 6, "unexpected character: 'f', expected ':'"),
        ("a{", 3, "unexpected end of input inside braces"),
        ("a{{", 3, "unexpected left brace '{'"),
        (
            "a{b!x}",
            4,
            "unexpected character after '!' inside braces: 'x'",
        ),
        ("a{b:c}", 4, "unexpected character inside braces: ':'"),
        ("a =~ b", 3, "unexpected character after '=': '~'"),
        ("a ! b", 3, "unexpected character after '!': ' '"),
        ("5foo", 1, "bad number or duration syntax: \"5\""),
        ("1..2", 1, "bad number or duration syntax: \"1..\""),
        ("5mx", 1, "bad number or duration syntax: \"5mx\""),
        ("a ; b", 3, "unexpected character: ';'"),
        ("\"abc", 1, "unterminated quoted string"),
    ] {
        let (found, told) = tokens(input);
        let last = found.last().expect("a token");
        assert_eq!(
            (last.kind, told.as_str()),
            (TokenKind::Error, message),
            "{input}"
        );
        assert_eq!(last.span.column, column, "{input}");
    }
}
