//! Every known answer of the corpus arrives, followed and from files, however the server is told to write its log.
//!
//! Reduced here to a few variants of each server, in which every setting occurs. `MILLSTREAM_VARIANTS=pairs` runs those in
//! which every two settings meet, `all` all of them, and `a part of a name` those whose name has it; each prints a table.

use millstream_tests::harness::{Flavour, load_corpus};
use millstream_tests::variants::{Variant, run};

fn variants_of(flavour: Flavour) -> Vec<Variant> {
    match std::env::var("MILLSTREAM_VARIANTS").as_deref() {
        Ok("all") => Variant::all(flavour),
        Ok("pairs") => Variant::pairwise(flavour),
        Ok(part) => Variant::all(flavour).into_iter().filter(|variant| variant.to_string().contains(part)).collect(),
        Err(_) => Variant::each(flavour),
    }
}

fn variants_on(flavour: Flavour) {
    let corpus = load_corpus().unwrap();
    let mut complaints = Vec::new();
    for variant in variants_of(flavour) {
        let begin = std::time::Instant::now();
        match run(variant, &corpus) {
            Ok(None) => return,
            Ok(Some(report)) => {
                let (live, files) = (&report.live, &report.files);
                println!(
                    "| {variant} | {}/{} (+{}) | {}/{} (+{}) | {:.1} s |",
                    live.agreed,
                    live.run,
                    live.untold,
                    files.agreed,
                    files.run,
                    files.untold,
                    begin.elapsed().as_secs_f64()
                );
                for (way, outcome) in [("live", live), ("files", files)] {
                    if !outcome.is_complete() {
                        let shown: Vec<_> = outcome.complaints.iter().take(12).map(String::as_str).collect();
                        complaints.push(format!("{variant}, {way}:\n  {}", shown.join("\n  ")));
                    }
                }
            }
            Err(error) => complaints.push(format!("{variant}: {error:#}")),
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn known_answers_arrive_in_every_variant_of_mysql97() {
    variants_on(Flavour::Mysql97);
}

#[test]
fn known_answers_arrive_in_every_variant_of_mysql57() {
    variants_on(Flavour::Mysql57);
}

#[test]
fn known_answers_arrive_in_every_variant_of_mysql56() {
    variants_on(Flavour::Mysql56);
}

#[test]
fn known_answers_arrive_in_every_variant_of_mariadb118() {
    variants_on(Flavour::Mariadb118);
}

#[test]
fn known_answers_arrive_in_every_variant_of_mariadb1011() {
    variants_on(Flavour::Mariadb1011);
}

#[test]
fn known_answers_arrive_in_every_variant_of_mariadb105() {
    variants_on(Flavour::Mariadb105);
}
