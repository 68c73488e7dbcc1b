//! Where the subjects of a run read from: the replayer, or a real MySQL. Experiments do not know which.

mod mysql;

use std::net::SocketAddr;
use std::process::Command;

use crate::recording::{Recording, Studio};
use crate::replay::{Offered, Pace, Replayer};
use mysql::Mysql;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceKind {
    /// Recordings from memory, by a server side of our own
    Replay,
    /// A MySQL 9.7: its dump thread with the recorded file, or at stated rates statements on real sessions
    Mysql,
}

/// Where a dump begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub offset: u64,
    /// Executed before it.
    pub gtids: String,
}

pub enum Source {
    Replay(Replayer, Place),
    Mysql(Mysql),
}

impl Source {
    /// Ready for subjects to connect; threads that stream run on `core`, where they are ours.
    ///
    /// # Errors
    /// The server does not do as it should.
    pub fn start(studio: &Studio, recording: &Recording, pace: Pace, core: Option<usize>) -> anyhow::Result<Self> {
        Ok(match studio.source {
            SourceKind::Replay => {
                let upstream = studio.server.address().parse()?;
                let replayer = Replayer::start(upstream, recording.log.clone(), pace, core)?;
                Self::Replay(replayer, recording.place(studio))
            }
            SourceKind::Mysql => Self::Mysql(Mysql::start(studio, recording, pace)?),
        })
    }

    /// Of the MySQL server, or what stands for it.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Replay(replayer, _) => replayer.address,
            Self::Mysql(mysql) => mysql.address,
        }
    }

    pub fn place(&self) -> &Place {
        match self {
            Self::Replay(_, place) => place,
            Self::Mysql(mysql) => &mysql.place,
        }
    }

    /// False: the rows are there already, and come as soon as somebody asks for them.
    pub fn waits(&self) -> bool {
        match self {
            Self::Replay(..) => true,
            Self::Mysql(mysql) => mysql.waits(),
        }
    }

    /// Lets the rows go; returns the moment.
    pub fn go(&self) -> u64 {
        match self {
            Self::Replay(replayer, _) => replayer.go(),
            Self::Mysql(mysql) => mysql.go(),
        }
    }

    /// Dumps that were asked for so far.
    ///
    /// # Errors
    /// The server does not say.
    pub fn dumps(&self) -> anyhow::Result<u64> {
        match self {
            Self::Replay(replayer, _) => Ok(replayer.dumps()),
            Self::Mysql(mysql) => mysql.dumps(),
        }
    }

    /// When each transaction was offered; empty where there is no pace.
    ///
    /// # Errors
    /// A writer failed.
    pub fn offered(&mut self) -> anyhow::Result<Offered> {
        match self {
            Self::Replay(replayer, _) => Ok(replayer.offered()),
            Self::Mysql(mysql) => mysql.offered(),
        }
    }

    /// What Millstream's client is told beside the rest: it begins in the past where the rows are there already.
    pub fn tell_sink(&self, command: &mut Command) {
        if !self.waits() {
            command.arg("--from-position");
        }
    }
}
