//! `decode`: the rows of binlog files, without a server.
//!
//! The same tracker, shard and wire format as in the server; here a batch is read back where it was made. Only committed
//! transactions are printed: one that comes in parts is held, on disk where it is large, until its commit.

mod input;
mod output;

use std::io::{IsTerminal, Read, stderr};
use std::sync::{Arc, Mutex};

use millstream_codec::mysql::file::FileError;
use millstream_core::engine::interest::{InterestSet, ViewId, ViewInterest};
use millstream_core::engine::shard::Shard;
use millstream_core::filter::Filter;
use millstream_core::limits::HOLD_BYTES_MAX_DEFAULT;
use millstream_core::position::OpenXa;
use millstream_core::source::file::{DecodeError, FileDecode};
use millstream_core::source::tracker::{Need, Notice, StatementPolicy, TrackerConfig, TrackerOutput};
use millstream_core::tables::Tables;

use crate::arguments::{DecodeArguments, StatementDml};
use crate::exit::{Exit, Failure};
use crate::printer::{Printer, printable};
use crate::progress::Progress;
use crate::style::{Style, note_label, warning_label};
use crate::table::grouped;
use input::{Input, Inputs};
use output::Output;

/// Read at once.
const READ_BYTES: usize = 1 << 20;

pub fn run(arguments: &DecodeArguments) -> Result<Exit, Failure> {
    let filter = Filter::compile(&arguments.filter.filter().into())
        .map_err(|error| Failure::usage(format!("the filter cannot be used: {error}")))?;
    let inputs = Inputs::of(&arguments.files)?;
    let mut run = Run::new(arguments, Arc::new(filter), &inputs)?;
    let decoded = run.all(&inputs);
    // What was decoded before an error is printed all the same.
    run.progress.clear();
    run.output.flush()?;
    decoded?;
    run.summary();
    Ok(if run.left_out { Exit::Findings } else { Exit::Done })
}

struct Run {
    decode: FileDecode,
    shard: Shard,
    output: Output,
    progress: Progress,
    finished_bytes: u64,
    /// Rows that belong to the answer are missing in it.
    left_out: bool,
}

impl Run {
    fn new(arguments: &DecodeArguments, filter: Arc<Filter>, inputs: &Inputs) -> Result<Self, Failure> {
        let tables = Tables::in_memory("decode");
        let tables = Arc::new(Mutex::new(tables));
        let interest =
            InterestSet { version: 1, views: vec![ViewInterest { view: ViewId(0), filter: filter.clone() }] };
        let config = TrackerConfig {
            shards: 1,
            hold_bytes_max: HOLD_BYTES_MAX_DEFAULT,
            event_bytes_max: usize::try_from(arguments.event_max << 20).unwrap_or(usize::MAX),
            statement_dml: match arguments.statement_dml {
                StatementDml::Fail => StatementPolicy::Halt,
                StatementDml::Warn => StatementPolicy::Skip,
            },
            quarantine: Arc::default(),
            first_sequence: 1,
        };
        let printer = Printer { format: arguments.format, style: Style::of_stdout() };
        Ok(Self {
            decode: FileDecode::new(config, tables.clone(), Arc::new(interest)),
            shard: Shard::new(0, 1, tables),
            output: Output::new(printer, filter, arguments.from.clone(), arguments.to.clone()),
            progress: Progress::new(inputs.total_bytes),
            finished_bytes: 0,
            left_out: false,
        })
    }

    fn all(&mut self, inputs: &Inputs) -> Result<(), Failure> {
        let mut buffer = vec![0; READ_BYTES];
        for input in &inputs.files {
            self.file(input, inputs, &mut buffer)?;
        }
        self.decode.finish();
        self.drain(inputs)
    }

    fn file(&mut self, input: &Input, inputs: &Inputs, buffer: &mut [u8]) -> Result<(), Failure> {
        let mut source = input.open()?;
        self.decode.begin_file(&input.name);
        self.drain(inputs)?;
        loop {
            let count = source.read(buffer).map_err(|error| {
                Failure::input(format!("cannot read {} at byte {}: {error}", input.shown(), self.decode.offset()))
            })?;
            if count == 0 {
                break;
            }
            let pushed = self.decode.push(buffer.get(..count).unwrap_or_default());
            // What lies before the damage.
            self.drain(inputs)?;
            pushed.map_err(failure)?;
            self.progress.update(self.finished_bytes + self.decode.offset(), self.output.rows());
        }
        self.finished_bytes += self.decode.offset();
        self.decode.finish_file().map_err(failure)
    }

    /// Everything that is decided by what was read so far.
    fn drain(&mut self, inputs: &Inputs) -> Result<(), Failure> {
        while let Some(output) = self.decode.poll().map_err(failure)? {
            match output {
                TrackerOutput::Batch(batch) => {
                    let encoded = self.shard.encode(Arc::new(batch));
                    self.output.batch(&encoded)?;
                    for failed in &encoded.failures {
                        let schema = &failed.table.schema;
                        let (database, table) = (schema.database.clone(), schema.table.clone());
                        let (offset, reason) = (failed.offset, &failed.reason);
                        self.warn(&format!(
                            "table {database}.{table}: the rows at byte {offset} cannot be decoded, and none of its rows \
                             from here on is printed: {reason}"
                        ));
                        self.left_out = true;
                    }
                }
                TrackerOutput::Notice(notice) => self.notice(&notice),
                TrackerOutput::Need(Need::Refetch(open)) => self.reread(&open, inputs)?,
                // Files have nobody to ask; a `Need` that is not answered is an error of the next poll.
                TrackerOutput::Need(Need::Schema { .. }) => {}
            }
        }
        Ok(())
    }

    /// A prepared XA transaction commits here: its rows lie further back.
    fn reread(&mut self, open: &OpenXa, inputs: &Inputs) -> Result<(), Failure> {
        let reread = inputs.open_again(&open.file, open.offset);
        let mut source = match reread {
            Ok(source) => source,
            Err(reason) => {
                self.decode.reread_failed(&reason);
                return Ok(());
            }
        };
        let mut buffer = vec![0; READ_BYTES];
        while self.decode.rereads().is_some_and(|wanted| wanted == *open) {
            match source.read(&mut buffer) {
                Ok(0) => self.decode.reread_failed("the file ends before the transaction does"),
                Ok(count) => self.decode.push_reread(buffer.get(..count).unwrap_or_default()).map_err(failure)?,
                Err(error) => self.decode.reread_failed(&error.to_string()),
            }
            // Its parts may be large: they are taken as they come.
            if self.decode.rereads().is_some() {
                self.drain(inputs)?;
            }
        }
        Ok(())
    }

    fn warn(&mut self, text: &str) {
        self.progress.clear();
        eprintln!("{} {}", warning_label(), printable(text));
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::StatementSkipped { .. } | Notice::XaUnresolved { .. } | Notice::TableQuarantined { .. } => {
                self.left_out = true;
                self.warn(&notice.to_string());
            }
            Notice::UncertainTypes { .. }
            | Notice::SchemaDoubtful { .. }
            | Notice::SchemaAssumed { .. }
            | Notice::UnknownEventSkipped { .. }
            | Notice::StatementUnknown { .. }
            | Notice::Incomplete { .. } => self.warn(&notice.to_string()),
            Notice::NamesUnknown { .. } | Notice::TableReleased { .. } => {
                self.progress.clear();
                eprintln!("{} {}", note_label(), printable(&notice.to_string()));
            }
        }
    }

    fn summary(&mut self) {
        if stderr().is_terminal() {
            let (rows, transactions) = (self.output.rows(), self.output.transactions());
            eprintln!("{} {} rows of {} transactions", note_label(), grouped(rows), grouped(transactions));
        }
    }
}

fn failure(error: DecodeError) -> Failure {
    let exit = match &error {
        DecodeError::File { error: FileError::Truncated { .. }, .. } | DecodeError::File { .. } => Exit::BadInput,
        DecodeError::Source(_) => Exit::BadInput,
    };
    Failure::new(exit, error)
}
