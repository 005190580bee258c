// SPDX-License-Identifier: GPL-2.0

//! The words of operations in `async_cb/pending.rs`, without loom: there is nothing concurrent in them.

use crate::{bpf::async_cb::Op, time::hrtimer::raw::Mode};

const TIMES: [i64; 24] = [
    0,
    1,
    7,
    8,
    9,
    15,
    16,
    1_000_000_007,
    1 << 62,
    i64::MAX,
    i64::MAX - 1,
    i64::MAX - 6,
    i64::MAX - 7,
    i64::MAX - 8,
    i64::MAX - 15,
    -1,
    -7,
    -8,
    -9,
    -1_000_000_007,
    i64::MIN,
    i64::MIN + 1,
    i64::MIN + 7,
    i64::MIN + 8,
];

fn through(nanos: i64, mode: Mode) -> (i64, Mode) {
    let op = Op::start(nanos, mode);
    assert_ne!(op, Op::CANCEL);
    op.as_start()
        .unwrap_or_else(|| panic!("a start of {nanos} has become {op:?}"))
}

/// The mode of a start comes out as it went in.
#[test]
fn pending_round_trip() {
    for nanos in TIMES {
        for bits in 0..4 {
            let mode = Mode::from_bits(bits);
            let (out, out_mode) = through(nanos, mode);
            assert_eq!(out_mode, mode);
            // What was changed once stays.
            assert_eq!(through(out, mode), (out, mode));
        }
    }
    assert!(Op::CANCEL.as_start().is_none());
}

/// Never early, and less than 8 ns late.
#[test]
fn pending_never_early() {
    for nanos in TIMES {
        let (out, _) = through(nanos, Mode::REL);
        assert!(
            out >= nanos && out.abs_diff(nanos) < 8,
            "{nanos} has become {out}"
        );
    }
}

/// An expiry keeps its sign and its meaning: "never" at the top, "at once" below zero.
#[test]
fn pending_keeps_the_side() {
    for nanos in TIMES {
        let (out, _) = through(nanos, Mode::REL);
        assert_eq!(out < 0, nanos < 0, "{nanos} has become {out}");
        assert!(out.abs_diff(nanos) < 8, "{nanos} has become {out}");
    }
    assert_eq!(through(i64::MAX, Mode::REL).0, i64::MAX);
    assert_eq!(through(-1, Mode::REL).0, -1);
    assert_eq!(through(i64::MIN, Mode::REL).0, i64::MIN + 7);
}
