//! `millstreamd --hash-password`: a password from the terminal (not shown) or from a pipe; its hash on stdout.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use millstream_control::auth::PasswordHash;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// More than any password; the rest of a pipe is not read.
const INPUT_BYTES_MAX: u64 = 4096;

/// Prints what `clients.users.password_hash` is set to.
///
/// # Errors
/// Says what was wrong with the input.
pub fn hash_password_command() -> Result<(), String> {
    let password = if io::stdin().is_terminal() { ask_twice()? } else { read_piped(io::stdin().lock())? };
    if password.is_empty() {
        return Err(
            "the password is empty; type one, or pipe it in: printf %s SECRET | millstreamd --hash-password".into()
        );
    }
    let hash = PasswordHash::of(password.as_bytes())?;
    println!("{hash}");
    Ok(())
}

/// The first line, so that `echo` and an editor's newline do no harm.
fn read_piped(input: impl Read) -> Result<String, String> {
    let mut text = String::new();
    io::BufReader::new(input.take(INPUT_BYTES_MAX)).read_line(&mut text).map_err(|error| error.to_string())?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask_twice() -> Result<String, String> {
    let first = ask("Password: ")?;
    if ask("Once more: ")? != first {
        return Err("the two are not the same; nothing was printed".to_owned());
    }
    Ok(first)
}

fn ask(prompt: &str) -> Result<String, String> {
    let mut stderr = io::stderr();
    // Prompts go to stderr, so that stdout can be redirected.
    let _ = write!(stderr, "{prompt}").and_then(|()| stderr.flush());
    let read = without_echo(|| read_piped(io::stdin().lock()));
    eprintln!();
    read
}

fn without_echo<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).map_err(|error| error.to_string())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| error.to_string())?;
    let result = read();
    let restored = tcsetattr(&stdin, OptionalActions::Now, &before);
    restored.map_err(|error| error.to_string()).and(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piped_password_is_its_first_line() {
        for (input, expected) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\nmore\n", "secret"),
            (" with spaces \n", " with spaces "),
            ("", ""),
        ] {
            assert_eq!(read_piped(input.as_bytes()).unwrap(), expected, "{input:?}");
        }
    }
}
