//! Where the checkout, the cache folder and the programs in it are.

use std::path::{Path, PathBuf};

use super::flavour::{Flavour, Kind};

/// The root of the checkout.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the checkout").to_path_buf()
}

/// What `scripts/setup.sh` and `scripts/servers.sh` fill.
pub fn cache_folder() -> PathBuf {
    match std::env::var_os("MILLSTREAM_CACHE") {
        Some(folder) => folder.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/millstream"),
    }
}

pub(super) fn servers_folder() -> PathBuf {
    std::env::var_os("MILLSTREAM_SERVERS").map_or_else(|| cache_folder().join("servers"), PathBuf::from)
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

/// A Python that can import pycapnp; `None` when there is none.
pub fn python() -> Option<PathBuf> {
    existing(cache_folder().join("python/.ready"))?;
    existing(cache_folder().join("python/bin/python"))
}

/// Prometheus' own checker of metrics; `None` when there is none.
pub fn promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("promtool"))
        .chain([cache_folder().join("bin/promtool")])
        .find_map(existing)
}

/// The program that prints the binlogs of this kind of server; an oracle, never a part of the product.
pub fn mysqlbinlog(kind: Kind) -> Option<PathBuf> {
    match kind {
        Kind::Mysql => existing(Flavour::Mysql97.folder().join("bin/mysqlbinlog")),
        Kind::Mariadb => [Flavour::Mariadb118, Flavour::Mariadb1011]
            .into_iter()
            .find_map(|flavour| existing(flavour.folder().join("bin/mariadb-binlog"))),
    }
}
