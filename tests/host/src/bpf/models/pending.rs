// SPDX-License-Identifier: GPL-2.0

//! `bpf/pending.rs`, without loom: there is nothing concurrent in it.

use crate::bpf::pending::{Op, StartFlags, DRAINING, EMPTY, RETIRE};

const FLAGS: [StartFlags; 4] = [
    StartFlags::REL,
    StartFlags::REL.pinned(),
    StartFlags::ABS,
    StartFlags::ABS.pinned(),
];

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

fn through(nanos: i64, flags: StartFlags) -> (i64, StartFlags) {
    let op = Op::decode(Op::start(nanos, flags).encode());
    op.and_then(Op::as_start)
        .unwrap_or_else(|| panic!("a start of {nanos} has become {op:?}"))
}

/// The flags of a start and everything else comes out as it went in.
#[test]
fn pending_round_trip() {
    for nanos in TIMES {
        for flags in FLAGS {
            let (out, out_flags) = through(nanos, flags);
            assert_eq!(out_flags, flags);
            // What was changed once stays.
            assert_eq!(through(out, flags), (out, flags));
        }
    }
    for op in [Op::NOP, Op::CANCEL, Op::START] {
        assert_eq!(Op::decode(op.encode()), Some(op));
        assert_eq!(op.is_cancel(), op == Op::CANCEL);
        assert_eq!(op.as_start().is_some(), op == Op::START);
    }
    for (n, flags) in FLAGS.iter().enumerate() {
        assert_eq!(flags.is_pinned(), n % 2 != 0);
        assert_eq!(flags.is_abs(), n >= 2);
        // BPF_F_TIMER_ABS is 1, BPF_F_TIMER_CPU_PIN is 2.
        let bpf = u64::from(flags.is_abs()) + 2 * u64::from(flags.is_pinned());
        assert_eq!(StartFlags::from_bpf(bpf), Some(*flags));
    }
    assert_eq!(StartFlags::from_bpf(4), None);
}

/// Never early, and less than 8 ns late.
#[test]
fn pending_never_early() {
    for nanos in TIMES {
        let (out, _) = through(nanos, FLAGS[0]);
        assert!(
            out >= nanos && out.abs_diff(nanos) < 8,
            "{nanos} has become {out}"
        );
    }
}

/// A time keeps its sign and its meaning: "never" at the top, "at once" below zero.
#[test]
fn pending_keeps_the_side() {
    for nanos in TIMES {
        let (out, _) = through(nanos, FLAGS[0]);
        assert_eq!(out < 0, nanos < 0, "{nanos} has become {out}");
        assert!(out.abs_diff(nanos) < 8, "{nanos} has become {out}");
    }
    assert_eq!(through(i64::MAX, FLAGS[0]).0, i64::MAX);
    assert_eq!(through(-1, FLAGS[0]).0, -1);
    assert_eq!(through(i64::MIN, FLAGS[0]).0, i64::MIN + 7);
}

/// What is no operation is none, and an operation is never taken for one of those.
#[test]
fn pending_states_are_no_operations() {
    for word in [EMPTY, DRAINING, RETIRE] {
        assert_eq!(Op::decode(word), None);
    }
    for nanos in TIMES {
        for flags in FLAGS {
            let word = Op::start(nanos, flags).encode();
            assert!(![EMPTY, DRAINING, RETIRE].contains(&word));
        }
    }
}
