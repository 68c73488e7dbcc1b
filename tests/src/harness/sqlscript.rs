//! SQL scripts with directives, each a comment at the start of a line:
//!
//! | directive | meaning |
//! |---|---|
//! | `-- @if COND` .. `-- @endif` | only on servers for which the [`Condition`] holds; may be nested |
//! | `-- @delim X` | statements end with X from here on |
//! | `-- @session N` | the statements below go through connection N, opened at its first use |
//! | `-- @may-fail` | the next statement may be refused by the server |
//!
//! Other comments are the server's business. Statements end at the delimiter, wherever it stands outside
//! of quotes and comments.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

use super::condition::Condition;
use super::mysql::MysqlServer;
use super::session::Session;

/// A parsed script; it can run on any server.
#[derive(Clone, Debug)]
pub struct SqlScript {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    line: usize,
    session: u32,
    may_fail: bool,
    /// All must hold.
    conditions: Vec<Condition>,
    statement: String,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    pub executed: usize,
    /// Refused by the server, as the script allows.
    pub refused: usize,
    /// Not for this server.
    pub skipped: usize,
}

impl SqlScript {
    /// # Errors
    /// When the file cannot be read or parsed.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// # Errors
    /// With the line: a directive that is not understood, or an end inside a quote or an `@if`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut steps = Vec::new();
        let mut conditions: Vec<Condition> = Vec::new();
        let (mut session, mut may_fail) = (0, false);
        let mut splitter = Splitter::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if splitter.between_statements()
                && let Some(directive) = line.strip_prefix("-- @")
            {
                let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
                match word {
                    "if" => conditions.push(rest.parse().with_context(|| format!("line {number}"))?),
                    "endif" => {
                        conditions.pop().with_context(|| format!("line {number}: @endif without @if"))?;
                    }
                    "delim" if !rest.trim().is_empty() => splitter.delimiter = rest.trim().to_owned(),
                    "session" => session = rest.trim().parse().with_context(|| format!("line {number}: @session"))?,
                    "may-fail" => may_fail = true,
                    // stated for other readers of the file
                    "expect" => {}
                    other => bail!("line {number}: unknown directive @{other}"),
                }
                continue;
            }
            splitter.push_line(line, number, |line, statement| {
                steps.push(Step { line, session, may_fail, conditions: conditions.clone(), statement });
                may_fail = false;
            });
        }
        splitter.finish(|line, statement| {
            steps.push(Step { line, session, may_fail, conditions: conditions.clone(), statement });
        })?;
        if !conditions.is_empty() {
            bail!("{} @if without @endif", conditions.len());
        }
        Ok(Self { steps })
    }

    /// # Errors
    /// The first statement that fails and may not, with its line.
    pub fn run(&self, server: &MysqlServer) -> anyhow::Result<RunReport> {
        let mut report = RunReport::default();
        let mut sessions: BTreeMap<u32, Session> = BTreeMap::new();
        for step in &self.steps {
            if !step.conditions.iter().all(|condition| condition.holds(server.kind(), server.version)) {
                report.skipped += 1;
                continue;
            }
            let session = match sessions.entry(step.session) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(server.session()?),
            };
            match session.query(&step.statement) {
                Ok(_) => report.executed += 1,
                Err(_) if step.may_fail => report.refused += 1,
                Err(error) => {
                    return Err(error.context(format!("line {} on {}", step.line, server.name())));
                }
            }
        }
        Ok(report)
    }
}

/// Statements separated by `;`, without directives.
pub(super) fn split_statements(text: &str) -> anyhow::Result<Vec<String>> {
    let mut statements = Vec::new();
    let mut splitter = Splitter::new();
    for (index, line) in text.lines().enumerate() {
        splitter.push_line(line, index + 1, |_, statement| statements.push(statement));
    }
    splitter.finish(|_, statement| statements.push(statement))?;
    Ok(statements)
}

/// What the text is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    Quote(char),
    BlockComment,
}

/// Cuts lines into statements.
struct Splitter {
    delimiter: String,
    inside: Inside,
    statement: String,
    /// The line at which the statement began; 0 when it has not.
    first_line: usize,
}

impl Splitter {
    fn new() -> Self {
        Self { delimiter: ";".to_owned(), inside: Inside::Nothing, statement: String::new(), first_line: 0 }
    }

    fn between_statements(&self) -> bool {
        self.inside == Inside::Nothing && self.first_line == 0
    }

    fn push_line(&mut self, line: &str, number: usize, mut emit: impl FnMut(usize, String)) {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let mut taken_bytes = c.len_utf8();
            match self.inside {
                Inside::Nothing => {
                    if rest.starts_with(&self.delimiter) {
                        rest = &rest[self.delimiter.len()..];
                        self.emit(&mut emit);
                        continue;
                    }
                    // MySQL wants a blank after the two dashes
                    let dashes = rest.strip_prefix("--").is_some_and(|r| r.is_empty() || r.starts_with([' ', '\t']));
                    if c == '#' || dashes {
                        break;
                    }
                    if rest.starts_with("/*") {
                        self.inside = Inside::BlockComment;
                        taken_bytes = 2;
                    } else if matches!(c, '\'' | '"' | '`') {
                        self.inside = Inside::Quote(c);
                    }
                    if !c.is_whitespace() && self.first_line == 0 {
                        self.first_line = number;
                    }
                }
                Inside::Quote(quote) => {
                    if c == '\\' && quote != '`' {
                        taken_bytes += rest[1..].chars().next().map_or(0, char::len_utf8);
                    } else if c == quote {
                        // a doubled quote closes and opens again: the same thing to a splitter
                        self.inside = Inside::Nothing;
                    }
                }
                Inside::BlockComment => {
                    if rest.starts_with("*/") {
                        self.inside = Inside::Nothing;
                        taken_bytes = 2;
                    }
                }
            }
            self.statement.push_str(&rest[..taken_bytes]);
            rest = &rest[taken_bytes..];
        }
        self.statement.push('\n');
    }

    fn finish(mut self, mut emit: impl FnMut(usize, String)) -> anyhow::Result<()> {
        if self.inside != Inside::Nothing {
            bail!("the statement of line {} ends inside a quote or a comment", self.first_line);
        }
        self.emit(&mut emit);
        Ok(())
    }

    fn emit(&mut self, emit: &mut impl FnMut(usize, String)) {
        let statement = std::mem::take(&mut self.statement);
        let statement = statement.trim();
        if !statement.is_empty() {
            emit(self.first_line, statement.to_owned());
        }
        self.first_line = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_the_delimiter_outside_of_quotes_and_comments() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(split_statements(text).unwrap(), expected, "{text:?}");
        };
        check("a; b;\nc", &["a", "b", "c"]);
        check("a\n b\n;", &["a\n b"]);
        check("x 'a;b' \"c;d\" `e;f`; y", &["x 'a;b' \"c;d\" `e;f`", "y"]);
        check(r"x 'it''s;' ; y '\';' ; z '\\'; w", &["x 'it''s;'", r"y '\';'", r"z '\\'", "w"]);
        check("a -- b; c\n; d # e;\n;f --g;", &["a", "d", "f --g"]);
        check("a /* ; \n ; */ b; c", &["a /* ; \n ; */ b", "c"]);
        check("x 'two\nlines;'; y", &["x 'two\nlines;'", "y"]);
        check("é'日;本'; ü", &["é'日;本'", "ü"]);
        check(" ;; \n;", &[]);
        assert!(split_statements("x 'open").is_err());
        assert!(split_statements("x /* open").is_err());
    }

    #[test]
    fn directives_apply_to_what_follows() {
        let script = SqlScript::parse(
            "a;\n-- @if mysql>=8\nb;\n-- @if mariadb\nc;\n-- @endif\n-- @endif\n-- @session 2\n-- @may-fail\nd;\ne;\n\
             -- @delim $$\nf; g$$\n-- @delim ;\nh;\n",
        )
        .unwrap();
        let steps: Vec<_> = script
            .steps
            .iter()
            .map(|s| (s.line, s.session, s.may_fail, s.conditions.len(), s.statement.as_str()))
            .collect();
        assert_eq!(
            steps,
            [
                (1, 0, false, 0, "a"),
                (3, 0, false, 1, "b"),
                (5, 0, false, 2, "c"),
                (10, 2, true, 0, "d"),
                (11, 2, false, 0, "e"),
                (13, 2, false, 0, "f; g"),
                (15, 2, false, 0, "h"),
            ]
        );
    }

    #[test]
    fn a_script_that_is_not_closed_or_not_understood_is_refused() {
        for text in
            ["-- @if mysql\na;", "-- @endif", "-- @sesion 1", "-- @session x", "-- @delim", "-- @if oracle\n-- @endif"]
        {
            assert!(SqlScript::parse(text).is_err(), "{text:?}");
        }
    }
}
