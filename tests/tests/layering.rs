//! Which crate may know which: the arrows of docs/ARCHITECTURE.md, held against what cargo says.
//!
//! `codec <- core <- {io, control} <- server` and `codec <- client <- cli`; the command line reads files through core
//! too. Nothing but the laboratory imports the tests or the benchmarks.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use millstream_tests::harness::repository;
use serde_json::Value;

/// Every package of the workspace, and the packages of the workspace that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("millstream-codec", &[]),
    ("millstream-core", &["millstream-codec"]),
    ("millstream-io", &["millstream-codec", "millstream-core"]),
    ("millstream-control", &["millstream-codec", "millstream-core"]),
    ("millstreamd", &["millstream-codec", "millstream-core", "millstream-io", "millstream-control"]),
    ("millstream-client", &["millstream-codec"]),
    ("millstream-cli", &["millstream-codec", "millstream-core", "millstream-client"]),
    ("millstream-bench", &["millstream-codec", "millstream-core", "millstream-client"]),
    ("millstream-tests", &["millstream-codec", "millstream-core", "millstream-client"]),
    ("millstream-fuzz", &["millstream-codec", "millstream-core"]),
    (
        "millstream-lab",
        &["millstream-codec", "millstream-core", "millstream-client", "millstream-bench", "millstream-tests"],
    ),
    ("millstream-typed-client", &["millstream-client"]),
];

/// Packages from outside that only one package may name itself.
const AT_ONE_PLACE: &[(&str, &str)] = &[
    ("glommio", "millstream-io"),
    ("io-uring", "millstream-io"),
    ("axum", "millstream-control"),
    ("hyper", "millstream-control"),
];

/// What must not be reached, over any number of steps, in a build of one package by itself.
const NEVER_REACHED: &[(&str, &[&str])] = &[
    ("millstream-codec", &["tokio", "mio", "glommio", "io-uring", "mysql_async"]),
    ("millstream-core", &["tokio", "mio", "glommio", "io-uring", "mysql_async"]),
    ("millstream-io", &["tokio", "axum", "mysql_async"]),
    ("millstream-control", &["glommio"]),
    // portable: nothing of io_uring, and nothing of MySQL's side of the codec
    ("millstream-client", &["glommio", "io-uring", "mysql_common", "zstd", "flate2", "encoding_rs", "rustix"]),
    ("millstream-cli", &["glommio"]),
];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(repository()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// A dependency as a manifest states it.
struct Stated {
    name: String,
    kind: String,
    default_features: bool,
    features: Vec<String>,
}

/// What the manifests of the workspace state, by package.
fn manifests() -> BTreeMap<String, Vec<Stated>> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("normal").to_owned();
    let stated = |dependency: &Value| Stated {
        name: text(&dependency["name"]),
        kind: text(&dependency["kind"]),
        default_features: dependency["uses_default_features"].as_bool().unwrap(),
        features: dependency["features"].as_array().unwrap().iter().map(text).collect(),
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            (text(&package["name"]), package["dependencies"].as_array().unwrap().iter().map(stated).collect())
        })
        .collect()
}

#[test]
fn packages_know_only_what_the_arrows_allow() {
    let manifests = manifests();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = manifests.keys().map(String::as_str).collect();
    assert_eq!(found, listed, "every package of the workspace has its line in ARROWS");
    for (package, allowed) in ARROWS {
        for dependency in &manifests[*package] {
            let own = listed.contains(dependency.name.as_str());
            assert!(
                !own || allowed.contains(&dependency.name.as_str()),
                "{package} must not depend on {} ({})",
                dependency.name,
                dependency.kind
            );
        }
    }
}

#[test]
fn a_runtime_or_a_web_server_is_named_by_one_package() {
    for (package, dependencies) in manifests() {
        for (outside, place) in AT_ONE_PLACE {
            let named = dependencies.iter().any(|dependency| dependency.name == *outside);
            assert!(!named || package == *place, "{package} names {outside}, which is {place}'s");
        }
    }
}

#[test]
fn the_client_takes_the_codec_without_the_side_of_mysql() {
    let manifests = manifests();
    let codec: Vec<&Stated> =
        manifests["millstream-client"].iter().filter(|dependency| dependency.name == "millstream-codec").collect();
    assert!(!codec.is_empty());
    for dependency in codec {
        let mysql = dependency.default_features || dependency.features.iter().any(|feature| feature == "mysql");
        assert!(!mysql, "with the feature `mysql`, by a dependency of kind {}", dependency.kind);
    }
}

#[test]
fn what_a_package_reaches_over_others_stays_within_its_role() {
    for (package, never) in NEVER_REACHED {
        // the tree of that package alone: features that others of the workspace switch on do not count
        let tree = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"]);
        let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(reached.contains(package), "{tree}");
        for outside in *never {
            assert!(!reached.contains(outside), "{package} reaches {outside}: cargo tree -p {package} -i {outside}");
        }
    }
}
