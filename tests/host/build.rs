// SPDX-License-Identifier: GPL-2.0

//! Copies the kernel's files to the build folder, where they are compiled, with the changes of the
//! mutation that `BPF_ASYNC_MUTATION` names.

use std::{env, fs, path::PathBuf};

mod mutations;

const FILES: &[&str] = &[
    "llist.rs",
    "bpf/async_cb.rs",
    "bpf/async_cb/callback.rs",
    "bpf/async_cb/deferred.rs",
    "bpf/async_cb/pending.rs",
    "bpf/timer.rs",
    "bpf/work.rs",
];

/// A bound that the models cannot reach: here it is smaller.
const SMALLER: (&str, &str, &str) = (
    "bpf/async_cb/deferred.rs",
    "const ROUNDS: u32 = 16;",
    "const ROUNDS: u32 = 2;",
);

/// What is beside them in the module `bpf`.
const BPF: &str = "pub(crate) mod async_cb;
pub(crate) mod timer;
pub(crate) mod work;
pub(crate) use crate::shim::prog;
";

/// The text with the change. What is replaced must be there exactly once.
fn replace(text: &str, from: &str, to: &str, what: &str) -> String {
    let count = text.matches(from).count();
    assert!(
        count == 1,
        "{what}: this is in the file {count} times, not once; adapt it\n{from}"
    );
    text.replace(from, to)
}

fn main() {
    let kernel = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../rust/kernel");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    let wanted = env::var("BPF_ASYNC_MUTATION").unwrap_or_default();
    println!("cargo:rerun-if-env-changed=BPF_ASYNC_MUTATION");
    println!("cargo:rerun-if-changed=mutations");
    println!("cargo:rerun-if-changed=build.rs");
    assert!(
        wanted.is_empty() || mutations::all().any(|m| m.name == wanted),
        "there is no mutation '{wanted}'"
    );

    fs::create_dir_all(out.join("bpf/async_cb")).unwrap();
    for file in FILES {
        let path = kernel.join(file);
        println!("cargo:rerun-if-changed={}", path.display());
        let mut text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        if *file == SMALLER.0 {
            text = replace(&text, SMALLER.1, SMALLER.2, "SMALLER in build.rs");
        }
        let mut compiled = text.clone();
        for mutation in mutations::all() {
            // Each is tried, so that one that no longer fits is found at once.
            let mut changed = text.clone();
            for (_, from, to) in mutation.changes.iter().filter(|(of, ..)| of == file) {
                changed = replace(&changed, from, to, mutation.name);
            }
            if mutation.name == wanted {
                compiled = changed;
            }
        }
        fs::write(out.join(file), compiled).expect("the build folder is writable");
    }
    fs::write(out.join("bpf/mod.rs"), BPF).unwrap();
    let module = |name: &str, path: &str| format!("#[path = {:?}]\nmod {name};\n", out.join(path));
    let modules = module("llist", "llist.rs") + &module("bpf", "bpf/mod.rs");
    fs::write(out.join("kernel.rs"), modules).unwrap();
}
