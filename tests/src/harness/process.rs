//! Programs of this workspace, started as processes of their own that cannot outlive the test.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// The program `name` of this workspace, built with the same profile as the running one.
///
/// # Errors
/// When it has not been built.
pub fn workspace_program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    // target/PROFILE/deps/test-hash for tests, target/PROFILE/name for programs
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: cargo build --workspace --bins"))
}

/// A command that becomes `program` and that the kernel kills when this process ends, however it ends. To be started
/// by [`spawn_bound`]. Where `setpriv` is missing, the program is only ended by whoever holds it.
pub fn bound_command(program: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|path| path.is_file()) {
        // it asks the kernel, then becomes the program: same process, same number
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Starts a [`bound_command`].
///
/// # Errors
/// When it cannot be started.
pub fn spawn_bound(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    // The kernel's signal comes at the end of the thread that started the child, not of its process. Tests come and
    // go on threads of their own, so that one which stays does it for all.
    let starter = STARTER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, answered) = mpsc::channel();
    starter.send((command, answer)).map_err(|_| io::Error::other("the starting thread has ended"))?;
    answered.recv().map_err(|_| io::Error::other("the starting thread has ended"))?
}

/// Memory of a process that is in use now.
///
/// # Errors
/// When there is none any more.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib << 10)
}

/// Sends a signal to a process that this test started.
///
/// # Errors
/// When there is none any more.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    ensure!(pid.is_some(), "not a process");
    if let Some(pid) = pid {
        kill_process(pid, signal).context("sending a signal")?;
    }
    Ok(())
}
