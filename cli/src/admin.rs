//! Questions to a server's admin interface, over HTTP.

use std::time::Duration;

use serde::Deserialize;

use crate::arguments::AdminArguments;
use crate::exit::{Exit, Failure};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A status of many subscriptions is some MiB; more than this is not ours.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The body of the answer to `GET path`.
///
/// # Errors
/// No answer, or one that says no, with the server's own words.
pub fn get(arguments: &AdminArguments, path: &str) -> Result<String, Failure> {
    ask(arguments, path, |agent, url| agent.get(url).call())
}

/// The body of the answer to `POST path`, which changes something.
///
/// # Errors
/// As [`get`].
pub fn post(arguments: &AdminArguments, path: &str) -> Result<String, Failure> {
    ask(arguments, path, |agent, url| agent.post(url).header("Content-Type", "application/json").send_empty())
}

type Answer = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn ask(
    arguments: &AdminArguments,
    path: &str,
    send: impl FnOnce(&ureq::Agent, &str) -> Answer,
) -> Result<String, Failure> {
    let address = with_port(&arguments.admin);
    let url = format!("http://{address}{path}");
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build().into();
    let unreachable = |error: ureq::Error| {
        let hint = "is millstreamd running there, and is this its admin port? (--admin, MILLSTREAM_ADMIN)";
        Failure::new(Exit::Unreachable, anyhow::anyhow!("cannot ask {address}: {error} ({hint})"))
    };
    let mut answer = send(&agent, &url).map_err(unreachable)?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
    if status.is_success() {
        return Ok(body);
    }
    let said = parse::<Refusal>(&body).map_or(body, |refusal| refusal.error);
    let said = said.trim();
    let reason = if said.is_empty() { "no further words" } else { said };
    Err(Failure::new(Exit::Refused, anyhow::anyhow!("{reason} (HTTP {})", status.as_u16())))
}

/// Reads a JSON answer; unknown fields are passed over, so that an older client reads a newer server.
///
/// # Errors
/// Text that is not the JSON that was expected.
pub fn parse<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, Failure> {
    // The parser works in place.
    let mut bytes = body.as_bytes().to_vec();
    simd_json::serde::from_slice(&mut bytes)
        .map_err(|error| Failure::input(format!("the server's answer is not what was expected: {error}")))
}

fn with_port(address: &str) -> String {
    let host_end = address.rfind(']').map_or(0, |bracket| bracket + 1);
    match address.get(host_end..).is_some_and(|rest| rest.contains(':')) {
        true => address.to_owned(),
        false => format!("{address}:7441"),
    }
}

/// A part of a path: what a URL would take for itself is escaped.
pub fn segment(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'$' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        let check = |input: &str, expected: &str| assert_eq!(segment(input), expected);
        check("orders", "orders");
        check("order items/2?", "order%20items%2F2%3F");
        check("größe", "gr%C3%B6%C3%9Fe");
    }

    #[test]
    fn the_admin_port_may_be_left_out() {
        let check = |input: &str, expected: &str| assert_eq!(with_port(input), expected);
        check("db7", "db7:7441");
        check("db7:9000", "db7:9000");
        check("[::1]", "[::1]:7441");
        check("[::1]:9000", "[::1]:9000");
    }
}
