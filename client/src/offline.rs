//! A client without a socket, for the benchmarks: bytes are put in, transactions come out. No part of the public face.

use std::time::Instant;

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::session::{Session, Step};
use crate::transaction::Transaction;

/// Does what [`crate::blocking::Client`] does between two reads of its socket.
pub struct Offline {
    session: Session,
}

impl Offline {
    /// As if a connection stood.
    ///
    /// # Errors
    /// A configuration that cannot work.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let mut session = Session::new(config, Instant::now(), 1)?;
        while !matches!(session.step(Instant::now())?, Step::Connect { .. }) {}
        session.connected();
        Ok(Self { session })
    }

    /// As much of `bytes` as one read would bring; returns how much that was.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        let space = self.session.space();
        let count = space.len().min(bytes.len());
        // By little pieces, which take no instruction that an emulator would count for each byte.
        for (to, from) in space.chunks_mut(1024).zip(bytes.get(..count).unwrap_or_default().chunks(1024)) {
            if let Some(to) = to.get_mut(..from.len()) {
                to.copy_from_slice(from);
            }
        }
        self.session.received(count);
        count
    }

    /// `None`: more bytes are needed.
    ///
    /// # Errors
    /// As a client's `next_transaction`.
    pub fn next_transaction(&mut self) -> Result<Option<Transaction>, ClientError> {
        loop {
            if let Some(transaction) = self.session.ready()? {
                return Ok(Some(transaction));
            }
            match self.session.step(Instant::now())? {
                Step::Transaction(transaction) => return Ok(Some(transaction)),
                Step::Settled => {}
                _ => return Ok(None),
            }
        }
    }

    pub fn queued_transactions(&self) -> usize {
        self.session.queued_transactions()
    }

    /// # Errors
    /// As a client's.
    pub fn ack(&mut self, transaction: &Transaction) -> Result<(), ClientError> {
        self.session.ack(transaction, Instant::now())
    }

    /// What is to be said, taken; returns how many bytes it was.
    pub fn write(&mut self) -> usize {
        let bytes = self.session.outgoing().len();
        self.session.sent(bytes);
        bytes
    }
}
