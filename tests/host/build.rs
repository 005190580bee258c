// SPDX-License-Identifier: GPL-2.0

//! Says where the kernel's files are: they are compiled where they stand. With `BPF_ASYNC_MUTATION`
//! set, the files that the mutation changes are copies with that change.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};

mod mutations;

const BPF: &[&str] = &[
    "async_cb",
    "callback",
    "cancelling",
    "cpu",
    "deferred",
    "drain",
    "install",
    "link",
    "pending",
    "perform",
    "timer",
    "work",
];

/// A bound that the models cannot reach at its size: they have a smaller one.
const SMALLER: (&str, &str, &str) = (
    "bpf/perform.rs",
    "const ROUNDS: u32 = 16;",
    "const ROUNDS: u32 = 2;",
);

/// The text of a file of the kernel, with what is [`SMALLER`] here.
fn read(kernel: &Path, file: &str) -> String {
    let text = fs::read_to_string(kernel.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    if file == SMALLER.0 {
        replace(&text, SMALLER.1, SMALLER.2, "smaller")
    } else {
        text
    }
}

/// The text with the change; what is to be replaced must be there exactly once.
fn replace(text: &str, from: &str, to: &str, mutation: &str) -> String {
    let count = text.matches(from).count();
    assert!(
        count == 1,
        "mutation {mutation}: this is in the file {count} times, not once; adapt mutations/\n{from}"
    );
    text.replace(from, to)
}

fn main() {
    let kernel = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../rust/kernel");
    let kernel = kernel.canonicalize().expect("rust/kernel is beside tests");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    let wanted = env::var("BPF_ASYNC_MUTATION").unwrap_or_default();
    println!("cargo:rerun-if-env-changed=BPF_ASYNC_MUTATION");
    println!("cargo:rerun-if-changed=mutations");
    println!("cargo:rerun-if-changed=build.rs");

    let mut changed: HashMap<&str, String> = HashMap::new();
    for mutation in mutations::all() {
        // All are tried always, so that one that has become stale is found at once.
        let mut texts: HashMap<&str, String> = HashMap::new();
        for (file, from, to) in mutation.changes {
            let text = texts.entry(*file).or_insert_with(|| read(&kernel, file));
            *text = replace(text, from, to, mutation.name);
        }
        if mutation.name == wanted {
            changed = texts;
        }
    }
    assert!(
        wanted.is_empty() || !changed.is_empty(),
        "there is no mutation '{wanted}'"
    );
    changed
        .entry(SMALLER.0)
        .or_insert_with(|| read(&kernel, SMALLER.0));

    let place = |file: String| {
        let path = kernel.join(&file);
        println!("cargo:rerun-if-changed={}", path.display());
        let Some(text) = changed.get(file.as_str()) else {
            return path;
        };
        let copy = out.join(file.replace('/', "_"));
        fs::write(&copy, text).expect("the build folder is writable");
        copy
    };
    let module =
        |vis: &str, name: &str, path: PathBuf| format!("#[path = {path:?}]\n{vis} mod {name};\n");

    let llist = module("pub", "llist", place("llist.rs".into()));
    fs::write(out.join("llist_mod.rs"), llist).unwrap();
    let bpf: String = BPF
        .iter()
        .map(|name| module("pub(crate)", name, place(format!("bpf/{name}.rs"))))
        .collect();
    fs::write(out.join("bpf_mod.rs"), bpf).unwrap();
}
