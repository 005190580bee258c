// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of timers whose clock and mode are chosen at run time.

#[macros::kunit_tests(rust_hrtimer_raw)]
mod tests {
    use super::super::*;
    use crate::sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Completion, //
    };
    use crate::time::{
        Instant,
        RealTime, //
    };

    const FAR: i64 = 3600 * 1_000_000_000;

    #[pin_data]
    struct Count {
        left: Atomic<i32>,
        here: Atomic<i32>,
        #[pin]
        done: Completion,
    }

    impl Count {
        fn new(left: i32) -> impl PinInit<Self> {
            pin_init!(Self {
                left: Atomic::new(left),
                here: Atomic::new(0),
                done <- Completion::new(),
            })
        }
    }

    impl DynHrTimerCallback for Count {
        fn run(timer: Pin<&DynHrTimer<Self>>) {
            timer
                .data()
                .here
                .fetch_add(timer.timer.runs_here().into(), Relaxed);
            if timer.data().left.fetch_sub(1, Relaxed) == 1 {
                timer.data().done.complete_all();
            } else {
                timer.start(1_000, Mode::REL);
            }
        }
    }

    /// On every clock, relative and as a point in time that has passed, pinned or not; and a
    /// callback can start its timer again, and is seen to run where it runs.
    #[test]
    fn fires_on_every_clock_and_mode() -> Result {
        for clock in [Clock::Monotonic, Clock::Realtime, Clock::Boottime] {
            for (nanos, mode) in [
                (1_000, Mode::REL),
                (1_000, Mode::REL.pinned()),
                (1, Mode::ABS),
                (1, Mode::ABS.pinned()),
            ] {
                let timer = KBox::pin_init(DynHrTimer::new(clock, Count::new(3)), GFP_KERNEL)?;
                timer.as_ref().start(nanos, mode);
                timer.data().done.wait_for_completion();
                assert_eq!(timer.data().left.load(Relaxed), 0);
                assert_eq!(timer.data().here.load(Relaxed), 3);
            }
        }
        Ok(())
    }

    /// Cancelling says whether there was anything to cancel, and so does dropping without saying.
    #[test]
    fn cancels() -> Result {
        let timer = KBox::pin_init(DynHrTimer::new(Clock::Monotonic, Count::new(1)), GFP_KERNEL)?;
        assert_eq!(timer.as_ref().try_to_cancel(), Some(false));
        timer.as_ref().start(FAR, Mode::REL);
        assert!(timer.timer.is_queued());
        assert_eq!(timer.as_ref().try_to_cancel(), Some(true));
        assert!(!timer.timer.is_queued());
        assert_eq!(timer.as_ref().try_to_cancel(), Some(false));
        timer.as_ref().start(FAR, Mode::REL);
        assert_eq!(timer.data().left.load(Relaxed), 1);
        drop(timer);
        Ok(())
    }

    /// A point in wall-clock time is one, and not one of another clock.
    #[test]
    fn wall_clock_is_wall_clock() -> Result {
        let timer = KBox::pin_init(DynHrTimer::new(Clock::Realtime, Count::new(1)), GFP_KERNEL)?;
        let at = Instant::<RealTime>::now().as_nanos() + 1_000_000;
        timer.as_ref().start(at, Mode::ABS);
        timer.data().done.wait_for_completion();
        assert!(Instant::<RealTime>::now().as_nanos() >= at);
        Ok(())
    }

    /// Only the clocks that BPF knows have an id here.
    #[test]
    fn knows_three_clocks() {
        let known = (0..64).filter(|id| Clock::from_id(*id).is_some()).count();
        assert_eq!(known, 3);
        assert_eq!(Clock::from_id(u64::MAX), None);
    }
}
