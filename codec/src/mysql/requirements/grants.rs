//! The lines of `SHOW GRANTS`:
//!
//! ```text
//! GRANT SELECT, REPLICATION SLAVE ON *.* TO `cdc`@`%` IDENTIFIED BY PASSWORD ...
//! GRANT SELECT (`id`, `name`) ON `shop`.`orders` TO `cdc`@`%`
//! GRANT `reader`@`%` TO `cdc`@`%`
//! ```

use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Grants {
    /// As the server writes it: `cdc`@`%`.
    pub account: String,
    pub has_roles: bool,
    /// On `*.*`, in upper case.
    global: BTreeSet<String>,
    /// On anything.
    anywhere: BTreeSet<String>,
}

const ALL: &str = "ALL PRIVILEGES";

impl Grants {
    pub fn parse(lines: &[String]) -> Self {
        let mut grants = Self { account: "the account".into(), ..Self::default() };
        let mut named = false;
        for line in lines {
            let Some(rest) = line.trim().strip_prefix("GRANT ") else {
                continue;
            };
            // The last " TO " outside of quotes is the one before the account.
            let Some((granted, account)) = split_outside(rest, " TO ") else {
                continue;
            };
            if !named {
                named = true;
                grants.account = first_word(account).to_owned();
            }
            match split_outside(granted, " ON ") {
                Some((privileges, object)) => grants.add(privileges, object.trim()),
                None => grants.has_roles = true,
            }
        }
        grants
    }

    fn add(&mut self, privileges: &str, object: &str) {
        // Column lists are in parentheses: SELECT (`a`, `b`).
        let mut depth = 0;
        let split = privileges.split(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ',' && depth == 0
        });
        for privilege in split {
            let name = privilege.split('(').next().unwrap_or_default().trim().to_ascii_uppercase();
            if object == "*.*" {
                self.global.insert(name.clone());
            }
            self.anywhere.insert(name);
        }
    }

    /// One of these, or all, on `*.*`.
    pub fn has_global(&self, names: &[&str]) -> bool {
        self.global.contains(ALL) || names.iter().any(|name| self.global.contains(*name))
    }

    pub fn has_anywhere(&self, name: &str) -> bool {
        self.anywhere.contains(ALL) || self.anywhere.contains(name)
    }
}

/// Splits at the first place of `separator` that is not inside backticks or single quotes.
fn split_outside<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (index, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '`' || c == '\'' => quote = Some(c),
            None => {
                let (before, rest) = text.split_at_checked(index)?;
                if let Some(behind) = rest.strip_prefix(separator) {
                    return Some((before, behind));
                }
            }
        }
    }
    None
}

/// Up to the first blank outside of quotes.
fn first_word(text: &str) -> &str {
    split_outside(text, " ").map_or(text, |(word, _)| word).trim_end_matches(';')
}
