//! A program that prints lines, and a test that waits for each of them, but not for ever.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::process::spawn_bound;

/// No line takes longer, on the slowest machine.
const LINE_WITHIN: Duration = Duration::from_secs(40);

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<Vec<u8>>,
    errors: Option<JoinHandle<String>>,
}

impl Program {
    /// Starts a command made by [`super::bound_command`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn_bound(command).context("starting a program")?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut stderr = child.stderr.take().context("no standard error")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { child, lines, errors: Some(errors) })
    }

    /// The next line with its end; `None` where the output has ended.
    ///
    /// # Errors
    /// When none comes in time, with what the program says of it.
    pub fn line_bytes(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        match self.lines.recv_timeout(LINE_WITHIN) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                bail!("no line within {LINE_WITHIN:?}: {}", self.errors())
            }
        }
    }

    /// The next line without its end, as text.
    ///
    /// # Errors
    /// When there is none, with what the program says of it.
    pub fn line(&mut self) -> anyhow::Result<String> {
        match self.line_bytes()? {
            Some(line) => Ok(String::from_utf8(line).context("not UTF-8")?.trim_end_matches('\n').to_owned()),
            None => {
                let (status, errors) = self.end()?;
                bail!("the program has ended, status {status:?}: {errors}")
            }
        }
    }

    /// Waits for its end: status and standard error.
    ///
    /// # Errors
    /// When it prints further lines, or does not end in time.
    pub fn end(&mut self) -> anyhow::Result<(Option<i32>, String)> {
        if let Some(line) = self.line_bytes()? {
            bail!("a line instead of the end: {}", String::from_utf8_lossy(&line));
        }
        let until = Instant::now() + LINE_WITHIN;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status.code(), self.errors()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        bail!("its output has ended, the program has not: {}", self.errors())
    }

    fn errors(&mut self) -> String {
        self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
