// SPDX-License-Identifier: GPL-2.0

//! Each mutation is built, and its model run: it has to fail, and say what is expected.
//!
//! Ignored by default, because it takes minutes; `scripts/host.sh` runs it. `ONLY=name` runs one.

use std::{
    env,
    process::{Command, Output},
};

#[path = "../mutations/mod.rs"]
mod mutations;

use mutations::Mutation;

fn cargo(mutation: &str, args: &[&str]) -> Output {
    // In a folder of its own, so that what is built as it is stays built.
    let target = env::current_exe().expect("a test has a path");
    let target = target
        .ancestors()
        .nth(3)
        .expect("it is in target/debug/deps");
    Command::new(env!("CARGO"))
        .args(["test", "--locked", "--quiet", "--profile=mutant", "--lib"])
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target.join("mutants"))
        .env("BPF_ASYNC_MUTATION", mutation)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("cargo runs")
}

fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

/// `Err` says why the mutation does not count as found.
fn found(mutation: &Mutation) -> Result<String, String> {
    let build = cargo(mutation.name, &["--no-run"]);
    if !build.status.success() {
        return Err(format!("does not compile\n{}", text(&build)));
    }
    let run = cargo(mutation.name, &[mutation.model, "--", "--nocapture"]);
    let output = text(&run);
    if !output.contains("running 1 test\n") {
        return Err(format!("{} is not one model\n{output}", mutation.model));
    }
    if run.status.success() {
        return Err(format!("{} does not find it", mutation.model));
    }
    let mut lines = output
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    let message: Vec<_> = lines.by_ref().skip(1).take(2).collect();
    if !output.contains(mutation.says) {
        return Err(format!(
            "{} fails, but does not say \"{}\"\n{output}",
            mutation.model, mutation.says
        ));
    }
    Ok(message
        .iter()
        .find(|l| !l.is_empty())
        .unwrap_or(&"")
        .to_string())
}

/// Every model has a mutation that it finds.
#[test]
fn each_model_has_a_mutation() {
    let output = text(&cargo("", &["--", "--list"]));
    let models = output
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let models: Vec<_> = models.filter_map(|path| path.rsplit("::").next()).collect();
    assert!(!models.is_empty(), "no model\n{output}");
    for model in &models {
        let found = mutations::all().any(|m| m.model == *model);
        assert!(found, "no mutation shows that {model} finds anything");
    }
    for mutation in mutations::all() {
        let there = models.contains(&mutation.model);
        assert!(
            there,
            "{}: there is no model {}",
            mutation.name, mutation.model
        );
    }
}

#[test]
#[ignore = "it builds everything once for each mutation"]
fn each_mutation_is_found() {
    let only = env::var("ONLY").unwrap_or_default();
    let mut wrong = Vec::new();
    let mut count = 0;
    for mutation in mutations::all().filter(|m| only.is_empty() || m.name == only) {
        count += 1;
        match found(mutation) {
            Ok(message) => println!("{}: {}: {message}", mutation.name, mutation.model),
            Err(why) => {
                println!("{}: NOT FOUND: {why}", mutation.name);
                wrong.push(mutation.name);
            }
        }
    }
    assert!(count > 0, "there is no mutation '{only}'");
    assert!(
        wrong.is_empty(),
        "{} of {count} not found: {wrong:?}",
        wrong.len()
    );
    println!("{count} mutations, each found");
}
