// SPDX-License-Identifier: GPL-2.0

//! Timers and work items behind `bpf_timer` and `bpf_wq` with callbacks in Rust, for modules.
//!
//! The callbacks of one user belong to a [`Domain`], as readers of SRCU belong to an SRCU domain.
//! Dropping the domain waits until none of them can be called any longer, so that the code of a
//! module can go away.

use super::{
    async_cb::{
        AsyncCallback,
        Callback,
        CallbackRef,
        Container,
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
            self,
            callback::call_rcu_hurry,
            sched,
            tasks_trace, //
        },
        Arc,
        Completion,
        Refcount, //
    },
    time::hrtimer::raw::{
        self,
        Clock,
        Mode, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};

/// A callback.
///
/// It is dropped in softirq context, or by the caller of `set_callback` if that fails, so its destructor
/// must not sleep. It must not own its [`Domain`], see there.
pub trait AsyncFn: Send + Sync + 'static {
    /// Runs in softirq context for a timer, and in task context for a work item.
    ///
    /// A work item may sleep. It runs in an RCU Tasks Trace read side with migration disabled, so it must
    /// not wait for a grace period of that flavour, and delays all of them while it sleeps.
    fn call(&self);
}

/// The callbacks of one user.
///
/// Dropping the domain sleeps until none of its callbacks is left. It never returns while a timer or
/// work item with a callback exists: drop those first, and declare the domain as the last field of a
/// struct. A callback that owns its own timer or work item keeps it from being dropped. Break such a
/// circle with `cancel()`, or by setting another callback.
///
/// A domain that is not dropped does not wait. A module must drop its domain itself before it is
/// unloaded: it must not leak it, and no callback and nothing else that outlives the module may own it,
/// also not through an `Arc`. The same holds for the handles of
/// [`HrTimer`](crate::time::hrtimer::HrTimer).
pub struct Domain(Arc<Live>);

/// # Invariants
///
/// `count` is the number of callbacks that were not freed, and one more until the domain is dropped.
/// It stays 0.
#[pin_data]
struct Live {
    count: Refcount,
    #[pin]
    none: Completion,
}

impl Domain {
    /// Creates a domain.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    pub fn new() -> Result<Self> {
        // INVARIANT: There is no callback yet.
        let live = pin_init!(Live {
            count: Refcount::new(1),
            none <- Completion::new(),
        });
        Ok(Self(Arc::pin_init(live, GFP_KERNEL)?))
    }
}

impl Live {
    fn put(&self) {
        if self.count.dec_and_test() {
            self.none.complete_all();
        }
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        self.0.put();
        self.0.none.wait_for_completion();
        // The RCU callback that has freed the last one may not have returned to the core kernel.
        rcu::rcu_barrier();
    }
}

/// The code of a callback.
struct Ops {
    call: unsafe fn(NonNull<Inner>),
    free: unsafe extern "C" fn(*mut bindings::callback_head),
}

/// The part of a callback that is the same for all types.
///
/// # Invariants
///
/// It is the `inner` of a `Typed<T>` in a `KBox`, whose provenance is exposed, and `ops` is that of
/// `Typed<T>`.
#[repr(C)]
struct Inner {
    rcu: Opaque<bindings::callback_head>,
    refs: Refcount,
    ops: &'static Ops,
    live: Arc<Live>,
}

impl Inner {
    /// Returns a pointer to the callback that may access all of it.
    fn as_ptr(&self) -> NonNull<Self> {
        let ptr = core::ptr::with_exposed_provenance_mut(core::ptr::from_ref(self).addr());
        // SAFETY: The address is that of a reference. `RustCallback::new` has exposed the box.
        unsafe { NonNull::new_unchecked(ptr) }
    }
}

#[repr(C)]
struct Typed<T> {
    inner: Inner,
    function: T,
}

static_assert!(offset_of!(Inner, rcu) == 0);
static_assert!(offset_of!(Typed<()>, inner) == 0);

impl<T: AsyncFn> Typed<T> {
    const OPS: Ops = Ops {
        call: Self::call,
        free: Self::free,
    };

    /// # Safety
    ///
    /// `inner` must be that of a valid `Typed<T>`.
    unsafe fn call(inner: NonNull<Inner>) {
        // CAST: `inner` is the first field.
        // SAFETY: The caller guarantees that it is that of a `Typed<T>`.
        unsafe { inner.cast::<Self>().as_ref() }.function.call();
    }

    /// # Safety
    ///
    /// RCU calls this with the `rcu_head` of a `Typed<T>` that has no reference.
    unsafe extern "C" fn free(rcu: *mut bindings::callback_head) {
        // CAST: The `rcu_head` is the first field of the first field.
        // SAFETY: The memory comes from a `KBox`. The last reference was dropped a grace period ago, so
        // nothing uses it.
        let this = unsafe { KBox::from_raw(rcu.cast::<Self>()) };
        let live = this.inner.live.clone();
        drop(this);
        live.put();
    }
}

/// A reference to a callback in Rust: what owns it.
///
/// # Invariants
///
/// The pointer is that of a `Typed<T>` from a `KBox`, and there is a reference to it. It is freed an RCU
/// grace period after the last reference was dropped.
struct RustCallback(NonNull<Inner>);

// SAFETY: An `AsyncFn` is `Send` and `Sync`.
unsafe impl Send for RustCallback {}

impl RustCallback {
    fn new<T: AsyncFn>(live: &Arc<Live>, function: T, flags: Flags) -> Result<Self> {
        // INVARIANT: Counted until `free`.
        if !live.count.inc_not_zero() {
            return Err(EPERM);
        }
        // INVARIANT: It goes into a `Typed<T>` in a `KBox` below.
        let inner = Inner {
            rcu: Opaque::uninit(),
            refs: Refcount::new(1),
            ops: const { &Typed::<T>::OPS },
            live: live.clone(),
        };
        let typed = KBox::new(Typed { inner, function }, flags).inspect_err(|_| live.put())?;
        let ptr = NonNull::from(KBox::leak(typed)).cast::<Inner>();
        ptr.as_ptr().expose_provenance();
        // INVARIANT: The pointer comes from a `KBox`.
        Ok(Self(ptr))
    }

    #[inline]
    fn inner(&self) -> &Inner {
        // SAFETY: By the type invariants there is a reference.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for RustCallback {
    fn drop(&mut self) {
        if self.inner().refs.dec_and_test() {
            // CAST: The `rcu_head` is the first field.
            // SAFETY: No reference is left, and by the type invariants `free` is the function for this
            // type. `Domain::drop` calls `rcu_barrier()` before its code can go away. The cells of this
            // module's slots drop no callback in NMI, see `RustTimer`.
            unsafe { call_rcu_hurry(self.0.as_ptr().cast(), self.inner().ops.free) };
        }
    }
}

// SAFETY: The pointer is not NULL, and aligned for an `Inner`.
unsafe impl ForeignOwnable for RustCallback {
    const FOREIGN_ALIGN: usize = core::mem::align_of::<Inner>();
    type Borrowed<'a> = &'a Inner;
    type BorrowedMut<'a> = &'a Inner;

    fn into_foreign(self) -> *mut c_void {
        let ptr = self.0.as_ptr().cast();
        core::mem::forget(self);
        ptr
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // INVARIANT: The reference comes back with the pointer from `into_foreign`.
        // SAFETY: `into_foreign` does not return NULL.
        Self(unsafe { NonNull::new_unchecked(ptr.cast()) })
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a Inner {
        // SAFETY: The caller holds the reference, or is an RCU reader that began before it was
        // dropped. RCU keeps the callback for `'a` then.
        unsafe { &*ptr.cast() }
    }

    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> &'a Inner {
        // SAFETY: The requirements of `borrow` are the same.
        unsafe { Self::borrow(ptr) }
    }
}

// SAFETY: A callback is freed an RCU grace period after its last reference was dropped. An `AsyncFn` is
// `Sync`. An `Inner` is aligned for a pointer.
unsafe impl Callback for RustCallback {}

impl AsyncCallback for RustCallback {
    type Container = Kmalloc;
}

impl TimerCallback for RustCallback {
    const TIMER_FN: raw::Function = bpf_async_rust_timer_cb;

    fn call(callback: CallbackRef<'_, Self>) {
        // SAFETY: By the type invariants of `Inner`, this is the function for its type.
        unsafe { (callback.callback.ops.call)(callback.callback.as_ptr()) };
    }
}

impl WorkCallback for RustCallback {
    const WORK_FN: WorkFn = bpf_async_rust_work;
    type Refs = Self;

    fn acquire(callback: &CallbackRef<'_, Self>) -> Acquired<Self> {
        if callback.callback.refs.inc_not_zero() {
            // INVARIANT: The reference was taken just now.
            Acquired::Refs(Self(callback.callback.as_ptr()))
        } else {
            Acquired::Replaced
        }
    }

    unsafe fn call(refs: &Self, _value: *mut c_void, _guard: &tasks_trace::Guard) {
        // SAFETY: By the type invariants of `Inner`, this is the function for its type.
        unsafe { (refs.inner().ops.call)(refs.0) };
    }
}

/// The function of timers with a callback in Rust.
///
/// It is never part of a module.
///
/// # Safety
///
/// Called by the hrtimer core in softirq, for the timer of a [`RustTimer`].
#[inline(never)]
unsafe extern "C" fn bpf_async_rust_timer_cb(
    timer: *mut bindings::hrtimer,
) -> bindings::hrtimer_restart {
    // SAFETY: The timer is that of an object with callbacks in Rust.
    unsafe { Timer::timer_fn::<RustCallback>(timer) }
}

/// The function of work items with a callback in Rust.
///
/// It is never part of a module.
///
/// # Safety
///
/// Called by a worker, for the work item of a [`RustWork`].
#[inline(never)]
unsafe extern "C" fn bpf_async_rust_work(work: *mut bindings::work_struct) {
    // SAFETY: The work is that of an object with callbacks in Rust, and holds a reference to it.
    unsafe { WorkItem::work_fn::<RustCallback>(work) };
}

/// The container of objects with callbacks in Rust: memory from `kmalloc_nolock()`.
struct Kmalloc;

static KMALLOC: Kmalloc = Kmalloc;

// SAFETY: `kmalloc_nolock()` returns memory of this size, with the alignment of `kmalloc()`, that
// `kfree()` accepts. The static is always valid.
unsafe impl Container for Kmalloc {
    fn allocate(&self, size: usize) -> Option<NonNull<c_void>> {
        // SAFETY: This FFI call has no requirements.
        NonNull::new(unsafe { bindings::bpf_async_alloc_nolock(size) })
    }

    unsafe fn deallocate(&self, memory: NonNull<c_void>) {
        // SAFETY: The memory comes from `allocate`.
        unsafe { bindings::kfree_nolock(memory.as_ptr()) };
    }

    fn is_closed(&self) -> bool {
        false
    }
}

/// A timer with a callback in Rust.
///
/// Dropping it cancels the timer. No callback begins afterwards, but one may be running. It must not be
/// dropped in NMI, nor where `call_rcu()` itself may have been interrupted.
///
/// # Examples
///
/// ```
/// use kernel::{
///     bpf::domain::{AsyncFn, Domain, RustTimer, RustWork},
///     sync::{Arc, Completion},
///     time::hrtimer::raw::{Clock, Mode},
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
/// let domain = Domain::new()?;
/// let fired = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
/// let timer = RustTimer::new(&domain, Clock::Monotonic)?;
/// timer.set_callback(Done(fired.clone()), GFP_KERNEL)?;
/// timer.start(1_000, Mode::REL)?;
/// fired.wait_for_completion();
///
/// let ran = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
/// let work = RustWork::new(&domain)?;
/// work.set_callback(Done(ran.clone()), GFP_KERNEL)?;
/// work.start()?;
/// ran.wait_for_completion();
/// # Ok::<(), Error>(())
/// ```
pub struct RustTimer {
    slot: Slot<Timer, RustCallback>,
    live: Arc<Live>,
}

impl RustTimer {
    /// Creates a timer.
    ///
    /// Any context but NMI.
    ///
    /// As `bpf_timer`, a timer for [`Clock::Realtime`] is one for [`Clock::Monotonic`].
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    #[doc(alias = "bpf_timer_init")]
    #[inline(never)]
    pub fn new(domain: &Domain, clock: Clock) -> Result<Self> {
        let this = Self {
            slot: Slot::new(),
            live: domain.0.clone(),
        };
        // SAFETY: The container is static, and callbacks in Rust do not use the value.
        unsafe { this.slot.init(&KMALLOC, core::ptr::null_mut(), clock) }?;
        Ok(this)
    }

    /// Sets the callback.
    ///
    /// Any context in which memory can be allocated with `flags`.
    ///
    /// # Errors
    ///
    /// - `ENOMEM` if there is no memory.
    /// - `EPERM` if the domain was dropped.
    #[doc(alias = "bpf_timer_set_callback")]
    pub fn set_callback<T: AsyncFn>(&self, function: T, flags: Flags) -> Result {
        self.set(RustCallback::new(&self.live, function, flags)?)
    }

    #[inline(never)]
    fn set(&self, callback: RustCallback) -> Result {
        let guard = sched::read_lock();
        self.slot.get(&guard)?.callback().set(callback)
    }

    /// Starts the timer, or moves its expiry.
    ///
    /// Any context.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no callback.
    /// - `EDEADLK` if the caller is called by this operation of this timer.
    #[doc(alias = "bpf_timer_start")]
    #[inline(never)]
    pub fn start(&self, nanos: i64, mode: Mode) -> Result {
        self.slot.start(nanos, mode)
    }

    /// Removes the callback, cancels the timer, and waits for a callback that is running.
    ///
    /// Returns whether the timer was active. Task or softirq.
    ///
    /// # Errors
    ///
    /// - `EOPNOTSUPP` with interrupts disabled.
    /// - `EDEADLK` if the caller is a callback that another one waits for, or that of this timer.
    #[doc(alias = "bpf_timer_cancel")]
    #[inline(never)]
    pub fn cancel(&self) -> Result<bool> {
        Ok(self.slot.cancel()? != 0)
    }

    /// Cancels the timer unless its callback is running.
    ///
    /// Returns whether the timer was active. The callback stays. Any context.
    ///
    /// # Errors
    ///
    /// - `ECANCELED` with interrupts disabled: the timer is cancelled as soon as they are enabled.
    /// - `EDEADLK` as [`RustTimer::start`].
    /// - `EPERM` if the callback is running.
    #[doc(alias = "bpf_timer_cancel_async")]
    #[inline(never)]
    pub fn cancel_async(&self) -> Result<bool> {
        Ok(self.slot.cancel_async()? != 0)
    }
}

impl Drop for RustTimer {
    #[inline(never)]
    fn drop(&mut self) {
        self.slot.cancel_and_free();
    }
}

/// A work item with a callback in Rust.
///
/// What [`RustTimer`] says of dropping it holds for this as well.
pub struct RustWork {
    slot: Slot<WorkItem, RustCallback>,
    live: Arc<Live>,
}

impl RustWork {
    /// Creates a work item.
    ///
    /// Any context but NMI.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    #[doc(alias = "bpf_wq_init")]
    #[inline(never)]
    pub fn new(domain: &Domain) -> Result<Self> {
        let this = Self {
            slot: Slot::new(),
            live: domain.0.clone(),
        };
        // SAFETY: The container is static, and callbacks in Rust do not use the value.
        unsafe { this.slot.init(&KMALLOC, core::ptr::null_mut(), ()) }?;
        Ok(this)
    }

    /// Sets the callback.
    ///
    /// Any context in which memory can be allocated with `flags`.
    ///
    /// # Errors
    ///
    /// - `ENOMEM` if there is no memory.
    /// - `EPERM` if the domain was dropped.
    #[doc(alias = "bpf_wq_set_callback")]
    pub fn set_callback<T: AsyncFn>(&self, function: T, flags: Flags) -> Result {
        self.set(RustCallback::new(&self.live, function, flags)?)
    }

    #[inline(never)]
    fn set(&self, callback: RustCallback) -> Result {
        let guard = sched::read_lock();
        self.slot.get(&guard)?.callback().set(callback)
    }

    /// Queues the work item.
    ///
    /// Nothing happens if it is pending. Any context.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no callback.
    /// - `EDEADLK` if the caller is called by this operation of this work item.
    #[doc(alias = "bpf_wq_start")]
    #[inline(never)]
    pub fn start(&self) -> Result {
        self.slot.start()
    }
}

impl Drop for RustWork {
    #[inline(never)]
    fn drop(&mut self) {
        self.slot.cancel_and_free();
    }
}

#[cfg(CONFIG_RUST_BPF_ASYNC_KUNIT_TEST)]
#[macros::kunit_tests(rust_bpf_async)]
mod tests {
    use super::*;
    use crate::sync::atomic::{
        Atomic,
        Relaxed, //
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

    /// Runs `f` with interrupts disabled.
    fn irqs_off<R>(f: impl FnOnce() -> R) -> R {
        // SAFETY: This FFI call is paired with the one below.
        unsafe { bindings::bpf_async_kunit_irq_disable() };
        let result = f();
        // SAFETY: This FFI call is paired with the one above.
        unsafe { bindings::bpf_async_kunit_irq_enable() };
        result
    }

    fn timer(domain: &Domain) -> Result<(RustTimer, Arc<Calls>)> {
        let (timer, calls) = (RustTimer::new(domain, Clock::Monotonic)?, Calls::new()?);
        timer.set_callback(Count(calls.clone()), GFP_KERNEL)?;
        Ok((timer, calls))
    }

    fn work(domain: &Domain) -> Result<(RustWork, Arc<Calls>)> {
        let (work, calls) = (RustWork::new(domain)?, Calls::new()?);
        work.set_callback(Count(calls.clone()), GFP_KERNEL)?;
        Ok((work, calls))
    }

    /// A timer calls its callback, and refuses a start without one.
    #[test]
    fn timer_fires() -> Result {
        let domain = Domain::new()?;
        let empty = RustTimer::new(&domain, Clock::Monotonic)?;
        assert_eq!(empty.start(NEAR, Mode::REL), Err(EINVAL));
        assert_eq!(empty.cancel(), Ok(false));

        let (timer, calls) = timer(&domain)?;
        timer.start(NEAR, Mode::REL)?;
        calls.called.wait_for_completion();
        assert_eq!(calls.count.load(Relaxed), 1);
        timer.start(FAR, Mode::REL)?;
        assert_eq!(timer.cancel_async(), Ok(true));
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
        let domain = Domain::new()?;
        let (timer, calls) = timer(&domain)?;

        irqs_off(|| timer.start(NEAR, Mode::REL))?;
        calls.called.wait_for_completion();
        assert_eq!(calls.count.load(Relaxed), 1);

        let cancelled = irqs_off(|| {
            timer.start(NEAR, Mode::REL)?;
            timer.start(FAR, Mode::REL)?;
            Ok::<_, Error>(timer.cancel_async())
        })?;
        assert_eq!(cancelled, Err(ECANCELED));
        assert_eq!(timer.cancel_async(), Ok(false));
        assert_eq!(calls.count.load(Relaxed), 1);

        irqs_off(|| {
            let _ = timer.cancel_async();
            timer.start(FAR, Mode::REL)
        })?;
        assert_eq!(timer.cancel_async(), Ok(true));
        assert_eq!(irqs_off(|| timer.cancel()), Err(EOPNOTSUPP));
        Ok(())
    }

    /// A work item runs, also if it is started with interrupts disabled, and sees what was written
    /// before.
    ///
    /// Dropped while it may be pending, it leaves nothing.
    #[test]
    fn work_runs() -> Result {
        let domain = Domain::new()?;
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
    /// Dropping the domain waits for the callbacks, whichever way they left their timers.
    #[test]
    fn domain_waits_for_callbacks() -> Result {
        let domain = Domain::new()?;
        let (timer, calls) = timer(&domain)?;
        let replaced = Calls::new()?;
        let other = RustTimer::new(&domain, Clock::Boottime)?;
        other.set_callback(Count(replaced.clone()), GFP_KERNEL)?;
        other.set_callback(Count(replaced.clone()), GFP_KERNEL)?;
        other.start(FAR, Mode::REL)?;
        other.cancel()?;

        irqs_off(|| {
            let result = timer.start(NEAR, Mode::REL);
            drop(timer);
            result
        })?;
        drop(domain);
        assert_eq!(calls.count.load(Relaxed), 0);
        assert_eq!(calls.drops.load(Relaxed), 1);
        assert_eq!(replaced.drops.load(Relaxed), 2);
        assert_eq!(
            other.set_callback(Count(replaced.clone()), GFP_KERNEL),
            Err(EPERM)
        );
        Ok(())
    }
}
