//! Data to stdout, everything else to stderr; colour only where it is wanted.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::args::Color;
use crate::diagnostic::{self, Failure, Result};

/// Where a command's words go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    out_colour: bool,
    err_colour: bool,
}

/// The few meanings that have a colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Create,
    Update,
    Delete,
    Bold,
    Dim,
}

impl Paint {
    fn style(self) -> Style {
        match self {
            Self::Create => AnsiColor::Green.on_default(),
            Self::Update => AnsiColor::Yellow.on_default(),
            Self::Delete => AnsiColor::Red.on_default(),
            Self::Bold => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
        }
    }

    /// `text` in this paint, or bare.
    pub(crate) fn on(self, text: &str, colour: bool) -> String {
        let style = self.style();
        if colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

impl Printer {
    pub(crate) fn new(color: Color) -> Self {
        let says = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if says("NO_COLOR") => false,
            Color::Auto => terminal || says("CLICOLOR_FORCE"),
        };
        Self {
            out_colour: wanted(std::io::stdout().is_terminal()),
            err_colour: wanted(std::io::stderr().is_terminal()),
        }
    }

    pub(crate) fn colours_stdout(&self) -> bool {
        self.out_colour
    }

    pub(crate) fn colours_stderr(&self) -> bool {
        self.err_colour
    }

    /// Data.
    pub(crate) fn out(&self, text: &str) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        written.map_err(|e| Failure::io("cannot write to stdout", &e))
    }

    /// Words about what happens. A closed stderr is nobody's loss.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// A failure, drawn.
    pub(crate) fn failure(&self, failure: &Failure) {
        let text = diagnostic::render(failure, self.err_colour);
        let _ = write!(std::io::stderr().lock(), "{text}");
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks; only `yes` is yes.
    pub(crate) fn ask(&self, question: &str, consequence: &str) -> bool {
        let question = Paint::Bold.on(question, self.err_colour);
        let mut stderr = std::io::stderr().lock();
        let _ = write!(
            stderr,
            "\n{question}\n  {consequence}\n  Only 'yes' is accepted.\n\n  Enter a value: "
        );
        let _ = stderr.flush();
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.is_ok() && answer.trim() == "yes"
    }
}

/// The last line of a process that has no printer.
pub(crate) fn last_words(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
