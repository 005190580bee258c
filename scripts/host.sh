#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# host.sh [models|mutations]: explores the models in tests/host, then checks
# that each of them finds what was broken on purpose. ONLY=NAME: one mutation.
# Needs Rust, no kernel. The build folder is in the cache.

. "$(dirname "$0")/lib.sh"

what=${1:-all}
[[ " all models mutations " == *" $what "* ]] || die "there is no '$what' here" "say nothing, models or mutations"
have cargo rustc || die "cargo and rustc are missing" "make setup installs them"
make_cache
need_disk "$CACHE" 500 "building the models"
export CARGO_TARGET_DIR=$CACHE/host-target RUST_BACKTRACE=${RUST_BACKTRACE:-0}
unset BPF_ASYNC_MUTATION RUSTFLAGS
cd "$ROOT/tests/host"

# Loom is fetched once; what Cargo.lock says is what is built.
cargo fetch --locked --quiet || die "loom could not be fetched" "see above; with the network back, run this again"
[ "$what" = mutations ] || {
	say "exploring the models, some minutes"
	nice cargo test --locked --lib
}
[ "$what" = models ] || {
	say "building and running each mutation, some minutes"
	nice cargo test --locked --test mutants -- --include-ignored --nocapture
}
