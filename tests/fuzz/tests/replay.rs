//! Every kept input, and fixed mutations of it, through its target.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use sluice_tests_fuzz::{TARGETS, Target, mutation::Mutation};

/// Mutations of each target.
const MUTATIONS: u64 = 20_000;
/// A target that is slow spends no more than this on mutations, in milliseconds.
const MUTATIONS_MS_MAX: u128 = 1_200;

fn corpus(target: &Target) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("the corpus {}", folder.display()))? {
        let path = entry?.path();
        inputs.push((path.display().to_string(), fs::read(&path)?));
    }
    inputs.sort();
    ensure!(!inputs.is_empty(), "{} is empty", folder.display());
    Ok(inputs)
}

/// Runs one input; says so where it breaks a promise, which the panic above it names.
fn breaks(target: &Target, name: &str, input: &[u8]) -> Option<String> {
    let broken = std::panic::catch_unwind(|| (target.run)(input)).is_err();
    broken.then(|| format!("target {} breaks a promise with {name}: {input:02x?}", target.name))
}

#[test]
fn every_kept_input_keeps_its_promise() -> Result<()> {
    let mut broken = Vec::new();
    for target in &TARGETS {
        let inputs = corpus(target)?;
        broken.extend(inputs.iter().filter_map(|(name, input)| breaks(target, name, input)));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn inputs_near_the_kept_ones_keep_their_promise() -> Result<()> {
    let mut broken = Vec::new();
    for target in &TARGETS {
        let inputs = corpus(target)?;
        let start = Instant::now();
        // One finding of each target is enough.
        broken.extend((0..MUTATIONS).take_while(|_| start.elapsed().as_millis() < MUTATIONS_MS_MAX).find_map(|seed| {
            let mut mutation = Mutation::new(seed);
            let (name, base) = &inputs[mutation.below(inputs.len())];
            let (_, other) = &inputs[mutation.below(inputs.len())];
            breaks(target, &format!("mutation {seed} of {name}"), &mutation.apply(base, other))
        }));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn every_corpus_belongs_to_a_target_and_is_small() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut bytes = 0;
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        ensure!(TARGETS.iter().any(|target| name == target.name), "no target has the corpus {}", name.display());
        for input in fs::read_dir(entry.path())? {
            bytes += input?.metadata()?.len();
        }
    }
    ensure!(bytes < 2 << 20, "the corpora have {bytes} bytes, at most 2 MiB");
    Ok(())
}
