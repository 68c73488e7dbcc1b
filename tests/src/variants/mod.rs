//! The ways in which a server may be told to write its log, and a run of the corpus in each of them.
//!
//! A [`Variant`] is a server with options; [`run`] gives for both ways, live and from files, how many of the known
//! answers came. Each run has a server and a `millstreamd` of its own.

mod run;

use std::fmt;

pub use run::{VariantReport, run};

use crate::harness::{Flavour, Kind};

/// `binlog_row_image`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowImage {
    Full,
    Minimal,
    NoBlob,
}

/// `binlog_row_metadata`; MySQL's MINIMAL and MariaDB's are alike, servers before have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    Full,
    Minimal,
    NoLog,
}

/// What only some servers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peculiarity {
    None,
    /// `log_bin_use_v1_row_events`.
    RowsV1,
    /// `mysql56_temporal_format=OFF`: TIME, DATETIME and TIMESTAMP as before MySQL 5.6.
    OldTemporal,
    /// `binlog_row_value_options=PARTIAL_JSON`.
    PartialJson,
}

/// A server with options that change what its log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub flavour: Flavour,
    pub image: RowImage,
    pub metadata: Metadata,
    pub checksum: bool,
    /// Transactions in MySQL, events in MariaDB.
    pub compression: bool,
    pub peculiarity: Peculiarity,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.flavour)?;
        write!(f, " image={}", self.image_name())?;
        write!(f, " metadata={}", self.metadata_name().unwrap_or("none"))?;
        write!(f, " checksum={}", if self.checksum { "CRC32" } else { "NONE" })?;
        write!(f, " compression={}", if self.compression { "ON" } else { "OFF" })?;
        match self.peculiarity {
            Peculiarity::None => Ok(()),
            Peculiarity::RowsV1 => f.write_str(" rows=v1"),
            Peculiarity::OldTemporal => f.write_str(" temporal=old"),
            Peculiarity::PartialJson => f.write_str(" json=partial"),
        }
    }
}

impl Variant {
    fn image_name(self) -> &'static str {
        match self.image {
            RowImage::Full => "FULL",
            RowImage::Minimal => "MINIMAL",
            RowImage::NoBlob => "NOBLOB",
        }
    }

    fn metadata_name(self) -> Option<&'static str> {
        match (self.metadata, self.flavour) {
            (_, Flavour::Mysql57 | Flavour::Mysql56) => None,
            (Metadata::Full, _) => Some("FULL"),
            (Metadata::Minimal, _) => Some("MINIMAL"),
            (Metadata::NoLog, _) => Some("NO_LOG"),
        }
    }

    /// Options of the server.
    pub fn options(self) -> Vec<String> {
        let mut options = vec![
            format!("--binlog-row-image={}", self.image_name()),
            format!("--binlog-checksum={}", if self.checksum { "CRC32" } else { "NONE" }),
        ];
        if let Some(name) = self.metadata_name() {
            options.push(format!("--binlog-row-metadata={name}"));
        }
        match (self.compression, self.flavour.kind()) {
            (false, _) => {}
            (true, Kind::Mysql) => options.push("--binlog-transaction-compression=ON".into()),
            (true, Kind::Mariadb) => {
                options.extend(["--log-bin-compress=ON".into(), "--log-bin-compress-min-len=10".into()]);
            }
        }
        match self.peculiarity {
            Peculiarity::None => {}
            Peculiarity::RowsV1 => options.push("--log-bin-use-v1-row-events=1".into()),
            Peculiarity::OldTemporal => options.push("--mysql56-temporal-format=OFF".into()),
            Peculiarity::PartialJson => options.push("--binlog-row-value-options=PARTIAL_JSON".into()),
        }
        // GTIDs forbid there what old scripts do: a MyISAM write inside a transaction
        if matches!(self.flavour, Flavour::Mysql57 | Flavour::Mysql56) {
            options.extend(["--gtid-mode=OFF".into(), "--enforce-gtid-consistency=OFF".into()]);
        }
        options
    }

    /// Every variant of a server: all settings that every version has with each other, then its peculiarity with the
    /// images and metadata.
    pub fn all(flavour: Flavour) -> Vec<Self> {
        let metadata: &[Metadata] = match flavour {
            Flavour::Mysql97 => &[Metadata::Full, Metadata::Minimal],
            Flavour::Mysql57 | Flavour::Mysql56 => &[Metadata::NoLog],
            _ => &[Metadata::Full, Metadata::Minimal, Metadata::NoLog],
        };
        let compression: &[bool] = match flavour {
            Flavour::Mysql57 | Flavour::Mysql56 => &[false],
            _ => &[false, true],
        };
        let peculiarity = match flavour {
            Flavour::Mysql97 => Peculiarity::PartialJson,
            Flavour::Mysql57 | Flavour::Mysql56 => Peculiarity::RowsV1,
            _ => Peculiarity::OldTemporal,
        };
        let mut variants = Vec::new();
        for &image in &[RowImage::Full, RowImage::Minimal, RowImage::NoBlob] {
            for &metadata in metadata {
                for &compression in compression {
                    for checksum in [true, false] {
                        let peculiarity = Peculiarity::None;
                        variants.push(Self { flavour, image, metadata, checksum, compression, peculiarity });
                    }
                }
                let (checksum, compression) = (true, compression.len() > 1 && image == RowImage::Minimal);
                variants.push(Self { flavour, image, metadata, checksum, compression, peculiarity });
            }
        }
        variants
    }

    /// A few of [`Self::all`], in which every two settings that the server can have together meet.
    pub fn pairwise(flavour: Flavour) -> Vec<Self> {
        covering(Self::all(flavour), |variant| {
            let settings = variant.settings();
            let pairs = (0..settings.len()).flat_map(|a| (a + 1..settings.len()).map(move |b| (a, b)));
            pairs.map(|(a, b)| format!("{a}{}{b}{}", settings[a], settings[b])).collect()
        })
    }

    /// Fewer still: every setting occurs.
    pub fn each(flavour: Flavour) -> Vec<Self> {
        covering(Self::all(flavour), |variant| {
            variant.settings().iter().enumerate().map(|(at, setting)| format!("{at}{setting}")).collect()
        })
    }

    fn settings(&self) -> [String; 5] {
        [
            format!("{:?}", self.image),
            format!("{:?}", self.metadata),
            self.checksum.to_string(),
            self.compression.to_string(),
            format!("{:?}", self.peculiarity),
        ]
    }
}

/// Chosen one by one, each the one that has most of what is still missing.
fn covering(all: Vec<Variant>, has: impl Fn(&Variant) -> Vec<String>) -> Vec<Variant> {
    let mut missing: std::collections::BTreeSet<String> = all.iter().flat_map(&has).collect();
    let mut chosen = Vec::new();
    let news = |variant: &Variant, missing: &std::collections::BTreeSet<String>| {
        has(variant).iter().filter(|part| missing.contains(*part)).count()
    };
    while !missing.is_empty() {
        // the last of equals, for the first are the most ordinary
        let Some(best) = all.iter().max_by_key(|variant| news(variant, &missing)) else { break };
        for part in has(best) {
            missing.remove(&part);
        }
        chosen.push(*best);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_has_every_setting_and_is_small() {
        for flavour in Flavour::ALL {
            let (all, pairs, each) = (Variant::all(flavour), Variant::pairwise(flavour), Variant::each(flavour));
            assert!(each.len() <= 4 && pairs.len() <= 16 && each.len() <= pairs.len(), "{flavour}: {}", pairs.len());
            for variant in &all {
                for (at, setting) in variant.settings().iter().enumerate() {
                    for selection in [&pairs, &each] {
                        assert!(selection.iter().any(|other| other.settings()[at] == *setting), "{flavour} {setting}");
                    }
                }
            }
        }
    }
}
