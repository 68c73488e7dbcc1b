//! Every input of the corpus, and cheap mutations of each, through its target. One test, because the targets measure the
//! memory of the whole process.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use millstream_fuzz::{TARGETS, peer};

/// All targets together, in a debug build on a slow machine.
const SECONDS_MAX: u64 = 60;
const MUTATIONS_OF_A_TARGET: usize = 15_000;

/// xorshift64*, from a seed that a failure can be repeated with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

const TELLING_BYTES: [u8; 9] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];

fn mutated(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 if !bytes.is_empty() => bytes[at] = TELLING_BYTES[random.below(TELLING_BYTES.len())],
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => {
                let end = at + random.below(9).min(bytes.len() - at);
                bytes.drain(at..end);
            }
            _ => {
                let end = at + random.below(17).min(bytes.len() - at);
                let part = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("an input"))).collect()
}

#[test]
fn the_corpus_and_mutations_of_it_hold() {
    peer::set_panic_hook();
    let seed = std::env::var("MILLSTREAM_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_123);
    println!("MILLSTREAM_FUZZ_SEED={seed}");
    let until = Instant::now() + Duration::from_secs(SECONDS_MAX);
    for target in TARGETS {
        let inputs = corpus(target.name);
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for (path, input) in &inputs {
            println!("{}", path.display());
            assert!(input.len() <= target.input_bytes_max, "{} is too long", path.display());
            target.run(input);
        }
        let mut random = Random(seed);
        for index in 0..MUTATIONS_OF_A_TARGET {
            let (path, input) = &inputs[index % inputs.len()];
            let mut input = mutated(input, &mut random);
            input.truncate(target.input_bytes_max);
            println!("{} mutation {index} of {}", target.name, path.display());
            target.run(&input);
            if Instant::now() > until {
                break;
            }
        }
    }
}
