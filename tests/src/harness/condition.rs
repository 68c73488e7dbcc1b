//! Conditions on a server, as the SQL scripts and the expected answers write them:
//! `mysql`, `mariadb>=10.5`, `mysql>=5.7.7|mariadb>=10.5`, `mysql>=5.7&mysql<8`. `&` binds closer than `|`.

use std::str::FromStr;

use anyhow::{Context, bail};

use super::flavour::{Kind, Version};

/// A parsed condition. The empty text holds for every server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Any of these, each all of its terms.
    alternatives: Vec<Vec<Term>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    kind: Kind,
    bound: Option<(Comparison, Version)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Exactly,
}

impl Condition {
    pub fn holds(&self, kind: Kind, version: Version) -> bool {
        self.alternatives.is_empty()
            || self.alternatives.iter().any(|terms| terms.iter().all(|term| term.holds(kind, version)))
    }
}

impl Term {
    fn holds(&self, kind: Kind, version: Version) -> bool {
        self.kind == kind
            && self.bound.is_none_or(|(comparison, bound)| match comparison {
                Comparison::AtLeast => version >= bound,
                Comparison::AtMost => version <= bound,
                Comparison::Above => version > bound,
                Comparison::Below => version < bound,
                Comparison::Exactly => version == bound,
            })
    }
}

impl FromStr for Condition {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self { alternatives: Vec::new() });
        }
        let alternatives = text
            .split('|')
            .map(|terms| terms.split('&').map(parse_term).collect::<Result<Vec<_>, _>>())
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("condition {text:?}"))?;
        Ok(Self { alternatives })
    }
}

fn parse_term(text: &str) -> anyhow::Result<Term> {
    let text = text.trim();
    let name_bytes = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (name, bound) = text.split_at(name_bytes);
    let kind = match name {
        "mysql" => Kind::Mysql,
        "mariadb" => Kind::Mariadb,
        other => bail!("no kind of server is called {other:?}"),
    };
    if bound.is_empty() {
        return Ok(Term { kind, bound: None });
    }
    // the two-character ones first
    let comparisons = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::Above),
        ("<", Comparison::Below),
        ("=", Comparison::Exactly),
    ];
    for (sign, comparison) in comparisons {
        if let Some(version) = bound.strip_prefix(sign) {
            return Ok(Term { kind, bound: Some((comparison, version.trim().parse()?)) });
        }
    }
    bail!("no comparison in {text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_for_the_servers_that_it_names() {
        let check = |condition: &str, kind: Kind, version: &str, expected: bool| {
            let parsed: Condition = condition.parse().unwrap();
            assert_eq!(parsed.holds(kind, version.parse().unwrap()), expected, "{condition:?} for {kind:?} {version}");
        };
        check("", Kind::Mysql, "9.7.4", true);
        check("mysql", Kind::Mysql, "5.6.24", true);
        check("mysql", Kind::Mariadb, "11.8.6", false);
        check("mysql>=8.0.19", Kind::Mysql, "8.0.19", true);
        check("mysql>=8.0.19", Kind::Mysql, "8.0.18", false);
        check("mysql>=8.0.19", Kind::Mariadb, "10.5.1", false);
        check("mariadb|mysql<8", Kind::Mysql, "5.7.29", true);
        check("mariadb|mysql<8", Kind::Mysql, "8", false);
        check("mariadb|mysql<8", Kind::Mariadb, "11.8.6", true);
        check("mysql>=5.6.5&mysql>=8.0", Kind::Mysql, "5.7.29", false);
        check("mysql>=5.6.5 & mysql<=8.0 | mariadb=10.5.23", Kind::Mysql, "5.7.29", true);
        check("mysql>=5.6.5 & mysql<=8.0 | mariadb=10.5.23", Kind::Mariadb, "10.5.23", true);
        check("mysql>=5.6.5 & mysql<=8.0 | mariadb=10.5.23", Kind::Mariadb, "10.5.22", false);
    }

    #[test]
    fn a_condition_that_means_nothing_is_refused() {
        for text in ["postgres", "mysql>=", "mysql~8", "mysql|", "mysql>=8.x"] {
            assert!(text.parse::<Condition>().is_err(), "{text:?}");
        }
    }
}
