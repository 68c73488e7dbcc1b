//! `check`: can this server and this account do change data capture?

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_codec::mysql::requirements::{self, Finding, Severity};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::arguments::CheckArguments;
use crate::exit::{Exit, Failure};
use crate::schema::print;
use crate::style::{Colour, Style};

pub fn run(arguments: &CheckArguments) -> Result<Exit, Failure> {
    let options = options(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = runtime.block_on(ask(options, arguments.timeout))?;
    let findings = requirements::check(&seen.variables, &seen.grants, &seen.version);
    print(&render(&seen, &findings, Style::of_stdout()))?;
    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if has_errors { Exit::Findings } else { Exit::Done })
}

fn options(arguments: &CheckArguments) -> Result<Opts, Failure> {
    let hint = "write mysql://USER:PASSWORD@HOST:PORT, with %40 for an @ in the password";
    let options = Opts::from_url(&arguments.source)
        .map_err(|error| Failure::usage(format!("--source is not an address of a server: {error}; {hint}")))?;
    let mut builder = OptsBuilder::from_opts(options);
    if let Some(variable) = &arguments.password_env {
        let password = std::env::var(variable)
            .map_err(|_| Failure::usage(format!("--password-env: the environment has no variable {variable}")))?;
        builder = builder.pass(Some(password));
    }
    // Over TCP also where the server is on this machine: that is how a replica connects.
    Ok(builder.prefer_socket(Some(false)).into())
}

/// What the server says of itself.
struct Seen {
    address: String,
    version: String,
    variables: BTreeMap<String, String>,
    grants: Vec<String>,
}

async fn ask(options: Opts, timeout: Duration) -> Result<Seen, Failure> {
    let address = format!("{}:{}", options.ip_or_hostname(), options.tcp_port());
    let silent = || {
        let reason = format!("{address} did not answer within {} s (is the address right?)", timeout.as_secs_f64());
        Failure::new(Exit::Unreachable, anyhow::anyhow!(reason))
    };
    let mut connection = match tokio::time::timeout(timeout, Conn::new(options)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(failure(&address, error)),
        Err(_) => return Err(silent()),
    };
    let questions = async {
        let version: Option<String> = connection.query_first("SELECT VERSION()").await?;
        let variables: Vec<(String, String)> = connection.query(requirements::variables_query()).await?;
        let grants: Vec<String> = connection.query("SHOW GRANTS").await?;
        let variables = variables.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Ok(Seen { address: address.clone(), version: version.unwrap_or_default(), variables, grants })
    };
    let seen = match tokio::time::timeout(timeout, questions).await {
        Ok(answered) => answered.map_err(|error| failure(&address, error))?,
        Err(_) => return Err(silent()),
    };
    // It has told all that was asked: how it ends does not matter.
    let _ = tokio::time::timeout(timeout, connection.disconnect()).await;
    Ok(seen)
}

fn failure(address: &str, error: mysql_async::Error) -> Failure {
    let (exit, reason, hint) = match &error {
        mysql_async::Error::Server(server) if matches!(server.code, 1044 | 1045) => {
            (Exit::Refused, server.to_string(), " (check user, password, and the host part of the account)")
        }
        mysql_async::Error::Server(server) => (Exit::Refused, server.to_string(), ""),
        mysql_async::Error::Io(mysql_async::IoError::Io(io)) => {
            (Exit::Unreachable, io.to_string(), " (is the server running there, and does it listen on TCP?)")
        }
        mysql_async::Error::Io(io) => (Exit::Unreachable, io.to_string(), ""),
        _ => (Exit::Refused, error.to_string(), ""),
    };
    Failure::new(exit, anyhow::anyhow!("{address}: {reason}{hint}"))
}

fn render(seen: &Seen, findings: &[Finding], style: Style) -> String {
    let mut out = format!("{}: {}\n", seen.address, seen.version);
    for finding in findings {
        let label = match finding.severity {
            Severity::Error => style.painted(Colour::Red, "error:  "),
            Severity::Warning => style.painted(Colour::Yellow, "warning:"),
            Severity::Info => style.painted(Colour::Dim, "info:   "),
        };
        out.push_str(&format!("\n{label} {}\n", finding.what));
        if !finding.fix.is_empty() {
            out.push_str(&format!("   mend: {}\n", style.painted(Colour::Cyan, &finding.fix)));
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let verdict = match (errors, warnings) {
        (0, 0) => style.painted(Colour::Green, "This server and this account can do change data capture."),
        (0, _) => format!("This server and this account can do change data capture; {warnings} warnings."),
        _ => style.painted(Colour::Red, &format!("It cannot work yet: {errors} errors, {warnings} warnings.")),
    };
    out.push_str(&format!("\n{verdict}\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen { address: "db:3306".into(), version: "9.7.0".into(), variables: BTreeMap::new(), grants: Vec::new() }
    }

    #[test]
    fn each_finding_is_shown_with_what_mends_it() {
        let finding = Finding {
            severity: Severity::Error,
            what: "the server writes no binary log".into(),
            fix: "add log_bin".into(),
        };
        let text = render(&seen(), &[finding], Style::Plain);
        assert!(text.contains("error:   the server writes no binary log\n   mend: add log_bin\n"), "{text}");
        assert!(text.contains("It cannot work yet: 1 errors, 0 warnings."), "{text}");
        assert!(render(&seen(), &[], Style::Plain).contains("can do change data capture."));
    }

    #[test]
    fn a_wrong_source_is_refused_with_a_hint() {
        let check = |source: &str, password_env: Option<&str>, word: &str| {
            let arguments = CheckArguments {
                source: source.into(),
                password_env: password_env.map(str::to_owned),
                timeout: Duration::from_secs(1),
            };
            let failure = options(&arguments).expect_err("refused");
            assert!(failure.error.to_string().contains(word), "{:#}", failure.error);
            assert_eq!(failure.exit, Exit::Usage);
        };
        check("db:3306", None, "mysql://");
        check("mysql://u@db:3306", Some("NO_SUCH_VARIABLE_HERE"), "NO_SUCH_VARIABLE_HERE");
    }
}
