//! Indented trees.

/// A line and what hangs below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Branch {
    pub(crate) text: String,
    pub(crate) below: Vec<Branch>,
}

impl Branch {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            below: Vec::new(),
        }
    }

    /// The branch below with this text, made if it is not the last one.
    pub(crate) fn child(&mut self, text: &str) -> &mut Self {
        if self.below.last().is_none_or(|last| last.text != text) {
            self.below.push(Self::new(text));
        }
        let last = self.below.len() - 1;
        &mut self.below[last]
    }

    /// All lines, without the last line's end.
    pub(crate) fn render(&self) -> String {
        let mut lines = vec![self.text.clone()];
        self.draw("", &mut lines);
        lines.join("\n")
    }

    fn draw(&self, indent: &str, lines: &mut Vec<String>) {
        let count = self.below.len();
        for (at, branch) in self.below.iter().enumerate() {
            let (mark, rest) = if at + 1 == count {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            lines.push(format!("{indent}{mark}{}", branch.text));
            branch.draw(&format!("{indent}{rest}"), lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Branch;

    #[test]
    fn branches_hang_below_their_parent() {
        let mut root = Branch::new("f");
        root.child("a").child("x");
        root.child("a").child("y");
        root.child("b").child("z");
        let drawn = "f\n├── a\n│   ├── x\n│   └── y\n└── b\n    └── z";
        assert_eq!(root.render(), drawn);
    }
}
