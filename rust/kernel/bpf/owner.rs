// SPDX-License-Identifier: GPL-2.0

//! Callbacks that are written in Rust.

use super::{
    async_cb::{
        AsyncCallback,
        Installed,
        Payload,
        Slot, //
    },
    callback::Callback,
    container::Domain,
    timer::{
        Timer,
        TimerCallback, //
    },
    work::{
        Held,
        HoldError,
        WorkCallback,
        WorkItem, //
    },
};
use crate::{
    alloc::Flags,
    prelude::*,
    sync::{
        rcu::callback::RcuBox,
        Arc, //
    },
};

/// A function with its data, to be the callback of a timer or a work item.
///
/// The data may be dropped in softirq context, so that its destructor must not sleep.
pub trait AsyncFn: Send + Sync + 'static {
    /// Runs in softirq context for a timer, in task context for a work item.
    fn call(&self);
}

/// The owner of an [`AsyncFn`] in a callback's cell. Whoever looks at it under an RCU guard may use
/// it until the guard is gone, or take an [`Arc`] of its own.
pub type Owner<T> = RcuBox<Arc<T>>;

// SAFETY: An `RcuBox` keeps its value for a grace period after it was dropped, and its alignment is
// that of an `rcu_head` at least.
unsafe impl<T: AsyncFn> Callback for Owner<T> {}

impl<T: AsyncFn> AsyncCallback for Owner<T> {
    type Container = Domain;
}

impl<T: AsyncFn> TimerCallback for Owner<T> {
    fn call(installed: Installed<'_, Self>) {
        installed.callback().call();
    }
}

impl<T: AsyncFn> WorkCallback for Owner<T> {
    type Refs = Arc<T>;
    type Some = ();

    fn hold(installed: &Installed<'_, Self>) -> Result<Arc<T>, HoldError<()>> {
        Ok((*installed.callback()).clone())
    }

    fn call(held: &Held<'_, Self>) {
        held.refs().call();
    }
}

impl<P: Payload<Owner<T>>, T: AsyncFn> Slot<P, Owner<T>> {
    /// Allocates an object of `domain` and puts it into the slot. Any context but NMI, and not
    /// under a lock that a wake-up takes: a domain that is being closed meanwhile may have to be
    /// told that this was its last object.
    ///
    /// # Errors
    ///
    /// - `EBUSY` when there is an object already.
    /// - `ENOMEM` when there is no memory.
    /// - `EPERM` when the domain is closed.
    pub fn init(&self, domain: &Arc<Domain>, config: P::Config) -> Result {
        // SAFETY: A domain in an `Arc` does not move, and dropping it waits for its objects. The
        // value is not used by these callbacks.
        unsafe { self.init_in(domain, core::ptr::null_mut(), config) }
    }

    /// Installs a function; `domain` is that of the object. May sleep when `flags` say so. Any
    /// context in which memory can be allocated.
    ///
    /// # Errors
    ///
    /// - `EINVAL` when there is no object, or one of another domain.
    /// - `EPERM` when it was freed meanwhile, or the domain is closed.
    /// - `ENOMEM` when there is no memory.
    pub fn set_fn(&self, domain: &Domain, function: Arc<T>, flags: Flags) -> Result {
        domain.hold_open(|| {
            // SAFETY: A box in an object of the domain is dropped by a reader for whom the object's
            // grace period waits (`cancel`), or who has the slot's reference (`cancel_and_free`);
            // one that is replaced, or could not be put into an object, before `hold_open` returns.
            // So that is before the domain is empty, and then it waits for RCU callbacks.
            let owner = unsafe { RcuBox::new(function, flags) }?;
            self.set_callback(domain, owner)
        })
    }
}

/// A slot for a timer whose callback is in Rust. As `bpf_timer`, one on [`Clock::Realtime`] is a timer
/// on the monotonic clock.
///
/// [`Clock::Realtime`]: crate::time::hrtimer::raw::Clock::Realtime
pub type TimerSlot<T> = Slot<Timer, Owner<T>>;

/// A slot for a work item whose callback is in Rust.
pub type WorkSlot<T> = Slot<WorkItem, Owner<T>>;
