// SPDX-License-Identifier: GPL-2.0

//! Timers and work items behind `bpf_timer` and `bpf_wq` with callbacks in Rust, for modules.
//!
//! The objects and callbacks of one user belong to a [`Domain`], as readers of SRCU belong to an
//! SRCU domain. Dropping the domain waits for all of them, so that the code of a module can go
//! away.

use super::{
    async_cb::{
        AsyncCallback,
        Callback,
        CallbackRef,
        Container,
        Payload,
        Slot, //
    },
    timer::{
        Timer,
        TimerCallback, //
    },
    work::{
        Acquired,
        WorkCallback,
        WorkFn,
        WorkItem, //
    },
};
use crate::{
    alloc::Flags,
    bindings,
    prelude::*,
    sync::{
        rcu::{
            callback::call_rcu_hurry,
            sched,
            tasks_trace, //
        },
        Arc,
        ArcBorrow,
        Completion, //
    },
    time::hrtimer::raw::{
        self,
        Clock,
        Mode, //
    },
    types::Opaque, //
};
use core::ptr::NonNull;

/// A callback.
///
/// It is dropped in softirq or task context, or by `set_callback()` if that fails, so its
/// destructor must not sleep.
pub trait AsyncFn: Send + Sync + 'static {
    /// Runs in softirq context for a timer, and in task context for a work item.
    ///
    /// A work item may sleep. It runs in an RCU Tasks Trace read side, so it must not wait for a
    /// grace period of that flavour, and delays all of them while it sleeps.
    fn call(&self);
}

/// The timers, work items and callbacks of one user.
///
/// Dropping the domain sleeps until the timers and work items were dropped and no callback is left.
/// Declare it as the last field of a struct, because the fields of a struct are dropped in order. A
/// callback that owns its own timer or work item keeps both. Break such a circle with `cancel()`
/// from a task with interrupts enabled, or by setting another callback.
///
/// What it waits for are callbacks and their destructors, not other code of the module that drops a
/// timer or work item.
pub struct Domain {
    // Dropped before `_wait`.
    live: Arc<Live>,
    _wait: Wait,
}

/// Completes when its last `Arc` is dropped.
///
/// Each timer, work item and callback has one.
struct Live(Arc<Completion>);

/// Waits for [`Live`] when it is dropped.
struct Wait(Arc<Completion>);

impl Domain {
    /// Creates a domain.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    ///
    /// # Safety
    ///
    /// - The module that has the code of the callbacks must drop the domain before it is unloaded:
    ///   the domain must not be leaked.
    /// - No callback of the domain may own it, not even through an `Arc`.
    pub unsafe fn new() -> Result<Self> {
        let gone = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        Ok(Self {
            live: Arc::new(Live(gone.clone()), GFP_KERNEL)?,
            _wait: Wait(gone),
        })
    }
}

impl Drop for Live {
    // Not inlined into a module.
    #[inline(never)]
    fn drop(&mut self) {
        self.0.complete_all();
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.wait_for_completion();
    }
}

/// A callback in Rust.
///
/// Only code of the core kernel drops it: the destructor of `function`, which can be that of a
/// module, has returned before `_live` is dropped.
#[repr(C)]
struct RustCallback {
    rcu: Opaque<bindings::callback_head>,
    function: KBox<dyn AsyncFn>,
    _live: Arc<Live>,
}

static_assert!(core::mem::offset_of!(RustCallback, rcu) == 0);

// SAFETY: An `AsyncFn` is `Send`. RCU uses `rcu` in any thread.
unsafe impl Send for RustCallback {}
// SAFETY: An `AsyncFn` is `Sync`. Only the context that takes the owner out of a cell uses `rcu`.
unsafe impl Sync for RustCallback {}

impl RustCallback {
    /// Drops the reference of an [`Owner`].
    ///
    /// # Safety
    ///
    /// RCU calls this with the `rcu_head` of a callback whose owner was released.
    #[inline(never)]
    unsafe extern "C" fn free(rcu: *mut bindings::callback_head) {
        // CAST: The `rcu_head` is the first field.
        // SAFETY: The pointer comes from `Owner::into_raw`, and RCU calls this once.
        drop(unsafe { Arc::from_raw(rcu.cast::<Self>()) });
    }
}

/// What owns a callback in Rust.
///
/// An RCU grace period after it was released, its reference is dropped.
///
/// # Invariants
///
/// There is one owner of the callback.
struct Owner(Arc<RustCallback>);

// SAFETY: A `RustCallback` is aligned for a pointer. RCU delays what `release` does.
unsafe impl Callback for Owner {
    type Borrowed<'a> = ArcBorrow<'a, RustCallback>;

    fn into_raw(self) -> *mut c_void {
        Arc::into_raw(self.0).cast_mut().cast()
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> ArcBorrow<'a, RustCallback> {
        // SAFETY: The pointer comes from `Arc::into_raw`. The caller is an RCU reader that began
        // before `release`, so the owner's reference is not dropped during `'a`.
        unsafe { ArcBorrow::from_raw(ptr.cast()) }
    }

    unsafe fn release(ptr: *mut c_void) {
        // CAST: The `rcu_head` is the first field.
        // SAFETY: By the type invariants there is one owner, and it is released once. `free` is
        // part of the core kernel. `set_callback()`, `cancel()` and the drop of `AsyncTimer` and
        // `AsyncWork` release it. Their documentation excludes NMI and `call_rcu()` itself.
        unsafe { call_rcu_hurry(ptr.cast(), RustCallback::free) };
    }
}

impl AsyncCallback for Owner {
    type Container = NoContainer;
}

// SAFETY: `bpf_async_rust_timer_cb` only calls `Timer::timer_fn` for `Owner`.
unsafe impl TimerCallback for Owner {
    const TIMER_FN: raw::Function = bpf_async_rust_timer_cb;

    unsafe fn call(callback: CallbackRef<'_, Self>) {
        callback.callback.function.call();
    }
}

// SAFETY: `bpf_async_rust_work` only calls `WorkItem::work_fn` for `Owner`.
unsafe impl WorkCallback for Owner {
    const WORK_FN: WorkFn = bpf_async_rust_work;
    type Refs<'t> = Arc<RustCallback>;

    unsafe fn acquire(
        callback: &CallbackRef<'_, Self>,
        _trace: &tasks_trace::Guard,
    ) -> Acquired<Arc<RustCallback>> {
        Acquired::Refs(callback.callback.into())
    }

    unsafe fn call(refs: &Arc<RustCallback>) {
        refs.function.call();
    }
}

/// The function of timers with a callback in Rust, which is never part of a module.
///
/// # Safety
///
/// Called by the hrtimer core in softirq, for the timer of an [`AsyncTimer`].
#[inline(never)]
unsafe extern "C" fn bpf_async_rust_timer_cb(
    timer: *mut bindings::hrtimer,
) -> bindings::hrtimer_restart {
    // SAFETY: The timer is that of an object with callbacks in Rust.
    unsafe { Timer::timer_fn::<Owner>(timer) }
}

/// The function of work items with a callback in Rust, which is never part of a module.
///
/// # Safety
///
/// Called by a worker, for the work item of an [`AsyncWork`].
#[inline(never)]
unsafe extern "C" fn bpf_async_rust_work(work: *mut bindings::work_struct) {
    // SAFETY: A worker calls this, outside of any read side. The work is that of an object with
    // callbacks in Rust, and holds a reference to it.
    unsafe { WorkItem::work_fn::<Owner>(work) };
}

/// The container of objects with callbacks in Rust: they belong to none.
struct NoContainer;

static NO_CONTAINER: NoContainer = NoContainer;

// SAFETY: The memory is of `kmalloc_nolock()`, of this size. The static is always valid.
unsafe impl Container for NoContainer {
    fn allocate(&self, size: usize) -> Option<NonNull<c_void>> {
        // SAFETY: This FFI call has no requirements.
        NonNull::new(unsafe { bindings::bpf_async_alloc_nolock(size) })
    }

    fn is_closed(&self) -> bool {
        false
    }
}

/// A timer or a work item.
struct Object<P: Payload<Owner>> {
    slot: Slot<P, Owner>,
    live: Arc<Live>,
}

impl<P: Payload<Owner>> Object<P> {
    fn new(domain: &Domain, config: P::Config) -> Result<Self> {
        let slot = Slot::new();
        // SAFETY: The container is static, and callbacks in Rust do not use the value.
        unsafe { slot.init(&NO_CONTAINER, core::ptr::null_mut(), config) }?;
        Ok(Self {
            slot,
            live: domain.live.clone(),
        })
    }

    fn set_callback(&self, function: KBox<dyn AsyncFn>, flags: Flags) -> Result {
        let callback = RustCallback {
            rcu: Opaque::uninit(),
            function,
            _live: self.live.clone(),
        };
        // INVARIANT: The only owner.
        let owner = Owner(Arc::new(callback, flags)?);
        let guard = sched::read_lock();
        self.slot.get(&guard)?.callback.set(owner)
    }
}

/// A timer with a callback in Rust.
///
/// Dropping it cancels the timer. A callback may be running then, or about to run. It must
/// not be dropped in NMI, nor where `call_rcu()` or `kfree()` itself may have been interrupted. On
/// `PREEMPT_RT` it must not be dropped with preemption disabled while its [`Domain`] is dropped:
/// the last of the two frees memory. As with [`KBox`], this is up to the code that is in such a
/// context.
///
/// # Examples
///
/// ```
/// use kernel::{
///     bpf::domain::{
///         AsyncFn,
///         AsyncTimer,
///         Domain, //
///     },
///     sync::{
///         Arc,
///         Completion, //
///     },
///     time::hrtimer::raw::{
///         Clock,
///         Mode, //
///     },
/// };
///
/// struct Done(Arc<Completion>);
///
/// impl AsyncFn for Done {
///     fn call(&self) {
///         self.0.complete_all();
///     }
/// }
///
/// // SAFETY: The domain is dropped below, and no callback owns it.
/// let domain = unsafe { Domain::new() }?;
/// let fired = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
/// let timer = AsyncTimer::new(&domain, Clock::Monotonic)?;
/// timer.set_callback(KBox::new(Done(fired.clone()), GFP_KERNEL)?, GFP_KERNEL)?;
/// timer.start(1_000, Mode::REL)?;
/// fired.wait_for_completion();
/// # Ok::<(), Error>(())
/// ```
pub struct AsyncTimer(Object<Timer>);

impl AsyncTimer {
    /// Creates a timer.
    ///
    /// Any context.
    ///
    /// # Errors
    ///
    /// - `EINVAL` for [`Clock::Realtime`], which a `bpf_timer` takes for [`Clock::Monotonic`].
    /// - `ENOMEM` if there is no memory.
    #[doc(alias = "bpf_timer_init")]
    #[inline(never)]
    pub fn new(domain: &Domain, clock: Clock) -> Result<Self> {
        if clock == Clock::Realtime {
            return Err(EINVAL);
        }
        Ok(Self(Object::new(domain, clock)?))
    }

    /// Sets the callback.
    ///
    /// Any context in which memory can be allocated with `flags`, except where `call_rcu()` itself
    /// may have been interrupted: the previous callback is given to it. Full ordering.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    #[doc(alias = "bpf_timer_set_callback")]
    #[inline(never)]
    pub fn set_callback(&self, function: KBox<dyn AsyncFn>, flags: Flags) -> Result {
        self.0.set_callback(function, flags)
    }

    /// Starts the timer, or moves its expiry. `mode` says what `nanos` means.
    ///
    /// Any context. A callback that begins because of this call sees what the caller wrote before.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no callback.
    /// - `EDEADLK` with interrupts disabled, if the caller is called by this operation of this
    ///   timer, or if too many deferred operations have each caused the next.
    #[doc(alias = "bpf_timer_start")]
    #[inline(never)]
    pub fn start(&self, nanos: i64, mode: Mode) -> Result {
        self.0.slot.start(nanos, mode)
    }

    /// Removes the callback, cancels the timer, and waits for a callback that is running.
    ///
    /// Returns whether the timer was active. Task or softirq.
    ///
    /// # Errors
    ///
    /// - `EOPNOTSUPP` with interrupts disabled.
    /// - `EDEADLK` if the caller is a callback that another one waits for, or that of this timer,
    ///   or, except on `PREEMPT_RT`, traces the expiry of this timer. Nothing was done.
    /// - `EBUSY` on `PREEMPT_RT` if the timer is expiring: the callback was removed, but is not
    ///   waited for. Until the expiry ends, it may call a callback that is set meanwhile, and the
    ///   old callback may start the timer.
    #[doc(alias = "bpf_timer_cancel")]
    #[inline(never)]
    pub fn cancel(&self) -> Result<bool> {
        Ok(self.0.slot.cancel()? != 0)
    }
}

impl Drop for AsyncTimer {
    #[inline(never)]
    fn drop(&mut self) {
        self.0.slot.cancel_and_free();
    }
}

/// A work item with a callback in Rust.
///
/// What [`AsyncTimer`] says of dropping it holds for this as well.
pub struct AsyncWork(Object<WorkItem>);

impl AsyncWork {
    /// Creates a work item, like [`AsyncTimer::new`].
    #[doc(alias = "bpf_wq_init")]
    #[inline(never)]
    pub fn new(domain: &Domain) -> Result<Self> {
        Ok(Self(Object::new(domain, ())?))
    }

    /// Sets the callback, like [`AsyncTimer::set_callback`].
    #[doc(alias = "bpf_wq_set_callback")]
    #[inline(never)]
    pub fn set_callback(&self, function: KBox<dyn AsyncFn>, flags: Flags) -> Result {
        self.0.set_callback(function, flags)
    }

    /// Queues the work item.
    ///
    /// Nothing happens if it is pending. Any context. A run that begins later sees what the caller
    /// wrote before.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no callback.
    /// - `EDEADLK` as [`AsyncTimer::start`].
    #[doc(alias = "bpf_wq_start")]
    #[inline(never)]
    pub fn start(&self) -> Result {
        self.0.slot.start()
    }
}

impl Drop for AsyncWork {
    #[inline(never)]
    fn drop(&mut self) {
        self.0.slot.cancel_and_free();
    }
}

#[cfg(CONFIG_RUST_BPF_ASYNC_KUNIT_TEST)]
#[macros::kunit_tests(rust_bpf_async)]
mod tests {
    use super::*;
    use crate::{
        interrupt::local_interrupt_disable,
        processor::cpu_relax,
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
    };

    const FAR: i64 = 3600 * 1_000_000_000;
    const NEAR: i64 = 1_000;

    #[pin_data]
    struct Calls {
        count: Atomic<i32>,
        drops: Atomic<i32>,
        #[pin]
        called: Completion,
    }

    impl Calls {
        fn new() -> Result<Arc<Self>> {
            Arc::pin_init(
                pin_init!(Self {
                    count: Atomic::new(0),
                    drops: Atomic::new(0),
                    called <- Completion::new(),
                }),
                GFP_KERNEL,
            )
        }
    }

    /// A callback that counts its calls, and whether it was dropped.
    struct Count(Arc<Calls>);

    impl AsyncFn for Count {
        fn call(&self) {
            self.0.count.add(1, Relaxed);
            self.0.called.complete_all();
        }
    }

    impl Drop for Count {
        fn drop(&mut self) {
            self.0.drops.add(1, Relaxed);
        }
    }

    fn count(calls: &Arc<Calls>) -> Result<KBox<Count>> {
        Ok(KBox::new(Count(calls.clone()), GFP_KERNEL)?)
    }

    /// Runs `f` with interrupts disabled.
    fn irqs_off<R>(f: impl FnOnce() -> R) -> R {
        let _disabled = local_interrupt_disable();
        f()
    }

    fn domain() -> Result<Domain> {
        // SAFETY: Each test drops its domain. No callback of a test owns one.
        unsafe { Domain::new() }
    }

    fn timer(domain: &Domain) -> Result<(AsyncTimer, Arc<Calls>)> {
        let (timer, calls) = (AsyncTimer::new(domain, Clock::Monotonic)?, Calls::new()?);
        timer.set_callback(count(&calls)?, GFP_KERNEL)?;
        Ok((timer, calls))
    }

    fn work(domain: &Domain) -> Result<(AsyncWork, Arc<Calls>)> {
        let (work, calls) = (AsyncWork::new(domain)?, Calls::new()?);
        work.set_callback(count(&calls)?, GFP_KERNEL)?;
        Ok((work, calls))
    }

    fn cancel_async(timer: &AsyncTimer) -> Result<bool> {
        Ok(timer.0.slot.cancel_async()? != 0)
    }

    /// Waits until a callback that was called has also returned.
    fn wait_for_return(timer: &AsyncTimer) {
        while cancel_async(timer) == Err(EPERM) {
            cpu_relax();
        }
    }

    /// A timer calls its callback, and refuses a start without one.
    #[test]
    fn timer_fires() -> Result {
        let domain = domain()?;
        let realtime = AsyncTimer::new(&domain, Clock::Realtime);
        assert_eq!(realtime.err(), Some(EINVAL));
        let empty = AsyncTimer::new(&domain, Clock::Monotonic)?;
        assert_eq!(empty.start(NEAR, Mode::REL), Err(EINVAL));
        assert_eq!(empty.cancel(), Ok(false));

        let (timer, calls) = timer(&domain)?;
        timer.start(NEAR, Mode::REL)?;
        calls.called.wait_for_completion();
        wait_for_return(&timer);
        assert_eq!(calls.count.load(Relaxed), 1);
        timer.start(FAR, Mode::REL)?;
        assert_eq!(cancel_async(&timer), Ok(true));
        timer.start(FAR, Mode::REL)?;
        assert_eq!(timer.cancel(), Ok(true));
        assert_eq!(timer.start(FAR, Mode::REL), Err(EINVAL));
        assert_eq!(timer.cancel(), Ok(false));
        Ok(())
    }

    /// A start with interrupts disabled takes effect when they are enabled.
    ///
    /// Of several operations the newest counts.
    #[test]
    fn newest_deferred_operation_wins() -> Result {
        let domain = domain()?;
        let (other, other_calls) = timer(&domain)?;
        let (timer, calls) = timer(&domain)?;

        irqs_off(|| timer.start(NEAR, Mode::REL))?;
        calls.called.wait_for_completion();
        wait_for_return(&timer);
        assert_eq!(calls.count.load(Relaxed), 1);

        let cancelled = irqs_off(|| {
            timer.start(NEAR, Mode::REL)?;
            timer.start(FAR, Mode::REL)?;
            Ok::<_, Error>(cancel_async(&timer))
        })?;
        assert_eq!(cancelled, Err(ECANCELED));
        assert_eq!(cancel_async(&timer), Ok(false));
        assert_eq!(calls.count.load(Relaxed), 1);

        irqs_off(|| {
            let _ = cancel_async(&other);
            other.start(NEAR, Mode::REL)
        })?;
        other_calls.called.wait_for_completion();
        assert_eq!(irqs_off(|| timer.cancel()), Err(EOPNOTSUPP));
        Ok(())
    }

    /// A work item runs, also if it is started with interrupts disabled.
    ///
    /// Dropped while it may be pending, it leaves nothing.
    #[test]
    fn work_runs() -> Result {
        let domain = domain()?;
        let (first, first_calls) = work(&domain)?;
        first.start()?;
        first_calls.called.wait_for_completion();

        let (second, second_calls) = work(&domain)?;
        irqs_off(|| second.start())?;
        second_calls.called.wait_for_completion();
        assert!(first_calls.count.load(Relaxed) == 1 && second_calls.count.load(Relaxed) == 1);

        first.start()?;
        drop(first);
        irqs_off(|| {
            let result = second.start();
            drop(second);
            result
        })?;
        drop(domain);
        assert_eq!(first_calls.drops.load(Relaxed), 1);
        assert_eq!(second_calls.drops.load(Relaxed), 1);
        Ok(())
    }

    /// Dropping a timer with interrupts disabled revokes what was queued.
    ///
    /// Dropping the domain waits until each callback is dropped, whichever way it left its timer.
    #[test]
    fn domain_waits_for_callbacks() -> Result {
        let domain = domain()?;
        let (timer, calls) = timer(&domain)?;
        let replaced = Calls::new()?;
        let other = AsyncTimer::new(&domain, Clock::Boottime)?;
        other.set_callback(count(&replaced)?, GFP_KERNEL)?;
        other.set_callback(count(&replaced)?, GFP_KERNEL)?;
        other.start(FAR, Mode::REL)?;
        other.cancel()?;
        drop(other);

        irqs_off(|| {
            let result = timer.start(NEAR, Mode::REL);
            drop(timer);
            result
        })?;
        drop(domain);
        assert_eq!(calls.count.load(Relaxed), 0);
        assert_eq!(calls.drops.load(Relaxed), 1);
        assert_eq!(replaced.drops.load(Relaxed), 2);
        Ok(())
    }
}
