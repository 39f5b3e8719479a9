//! `isboot-exercise TARGET SECONDS`: the fuzz target over its corpus, then over noise made of it,
//! for machines without a fuzzer.

use std::process::ExitCode;
use std::time::Duration;

use isboot_exercise::noise;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let target = words.next().and_then(|name| isboot_exercise::target(&name));
    let seconds = words.next().and_then(|seconds| seconds.parse().ok());
    let (Some(target), Some(seconds)) = (target, seconds) else {
        let names = isboot_exercise::TARGETS.map(|target| target.name).join(" ");
        eprintln!("usage: isboot-exercise TARGET SECONDS\ntargets: {names}");
        return ExitCode::from(2);
    };
    let inputs: Vec<Vec<u8>> = match noise::corpus(&target) {
        Ok(corpus) => corpus.into_iter().map(|(_, bytes)| bytes).collect(),
        Err(error) => {
            eprintln!("reading the corpus of {}: {error}", target.name);
            return ExitCode::from(2);
        }
    };
    inputs.iter().for_each(|input| (target.run)(input));
    let count = noise::run(&target, &inputs, 1, Duration::from_secs(seconds));
    println!("executed {count}");
    ExitCode::SUCCESS
}
