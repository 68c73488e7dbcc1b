//! Colour, where a person looks.

use std::io::{IsTerminal, stderr, stdout};

/// ANSI sequences, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Colour,
}

impl Style {
    /// Colour where standard output is a terminal, unless NO_COLOR asks for none (no-color.org).
    pub fn of_stdout() -> Self {
        match stdout().is_terminal() && !is_colour_refused() {
            true => Self::Colour,
            false => Self::Plain,
        }
    }

    pub fn paint(self, out: &mut Vec<u8>, colour: Colour, text: &str) {
        match self {
            Self::Plain => out.extend_from_slice(text.as_bytes()),
            Self::Colour => {
                out.extend_from_slice(b"\x1b[");
                out.extend_from_slice(colour.code().as_bytes());
                out.push(b'm');
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\x1b[0m");
            }
        }
    }

    pub fn painted(self, colour: Colour, text: &str) -> String {
        let mut out = Vec::new();
        self.paint(&mut out, colour, text);
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn is_colour_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Green,
    Yellow,
    Red,
    Magenta,
    Cyan,
    Dim,
    Bold,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Magenta => "35",
            Self::Cyan => "36",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }
}

fn of_stderr() -> Style {
    match stderr().is_terminal() && !is_colour_refused() {
        true => Style::Colour,
        false => Style::Plain,
    }
}

pub fn error_label() -> String {
    of_stderr().painted(Colour::Red, "error:")
}

pub fn warning_label() -> String {
    of_stderr().painted(Colour::Yellow, "warning:")
}

pub fn note_label() -> String {
    of_stderr().painted(Colour::Dim, "note:")
}
