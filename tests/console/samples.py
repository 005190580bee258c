# SPDX-License-Identifier: GPL-2.0
"""Consoles in the kernel's manner, written for the tests: name -> (kind, naming line, console).

Each console has one report between healthy lines. FIRST and LAST mark where it must begin and end.
"""

import re

FIRST, LAST = "<<<", ">>>"
RULE = "=" * 66
DASH = "-" * 77
CUT = "------------[ cut here ]------------"
END = "---[ end trace 0000000000000000 ]---"
TRACE = """CPU: 0 UID: 0 PID: 77 Comm: probe Not tainted 7.3.4 #1 PREEMPT
Call Trace:
 <TASK>
 dump_stack_lvl+0x20/0x50
 ? made_up_caller+0x1f/0x30"""
STACK = TRACE + "\n </TASK>"
LAST_STACK = TRACE + f"\n{LAST} </TASK>"

BODIES = {
    "panic": ("panic", "Kernel panic - not syncing: made up reason", f"""
{FIRST}Kernel panic - not syncing: made up reason
{STACK}
Kernel Offset: disabled
{LAST}---[ end Kernel panic - not syncing: made up reason ]---"""),
    "null pointer": ("oops", "BUG: kernel NULL pointer dereference, address: 0000000000000008", f"""
{FIRST}BUG: kernel NULL pointer dereference, address: 0000000000000008
#PF: supervisor read access in kernel mode
Oops: Oops: 0000 [#1] SMP
{STACK}
Modules linked in: probe(O)
CR2: 0000000000000008
{LAST}{END}"""),
    "page fault": ("oops", "BUG: unable to handle page fault for address: ffffc90000123000", f"""
{FIRST}BUG: unable to handle page fault for address: ffffc90000123000
Oops: Oops: 0002 [#1] SMP
{STACK}
{LAST}{END}"""),
    "int3": ("oops", "Oops: int3: 0000 [#1] SMP", f"""
{FIRST}Oops: int3: 0000 [#1] SMP
CPU: 1 UID: 0 PID: 35 Comm: kworker/1:1 Not tainted 7.3.4 #1 PREEMPT
{LAST}{END}"""),
    "general protection": ("oops", "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP", f"""
{FIRST}Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP
{STACK}
{LAST}{END}"""),
    "arm64": ("oops", "Unable to handle kernel paging request at virtual address dead000000000100", f"""
{FIRST}Unable to handle kernel paging request at virtual address dead000000000100
Mem abort info:
  ESR = 0x0000000096000004
Internal error: Oops: 0000000096000004 [#1]  SMP
CPU: 1 UID: 0 PID: 35 Comm: kworker/1:1 Not tainted 7.3.4 #1 PREEMPT
Call trace:
 made_up+0x12/0x40 (P)
Code: d503201f d503201f
{LAST}{END}"""),
    "CFI": ("cfi", "CFI failure at made_up+0x12/0x40 (target: made_down+0x0/0x20; expected type: 0x12345678)", f"""
{FIRST}CFI failure at made_up+0x12/0x40 (target: made_down+0x0/0x20; expected type: 0x12345678)
Oops: invalid opcode: 0000 [#1] SMP
{STACK}
{LAST}{END}"""),
    "BUG()": ("BUG", "kernel BUG at made/up.c:12!", f"""
{FIRST}{CUT}
kernel BUG at made/up.c:12!
Oops: invalid opcode: 0000 [#1] SMP
{STACK}
{LAST}{END}"""),
    "WARN": ("warn", "WARNING: made/up.c:34 at made_up+0x12/0x40, CPU#1: probe/77", f"""
{FIRST}{CUT}
WARNING: made/up.c:34 at made_up+0x12/0x40, CPU#1: probe/77
Modules linked in:
{STACK}
{LAST}{END}"""),
    "WARN with text": ("warn", "WARNING: made/up.c:34 at made_up+0x12/0x40, CPU#1: probe/77", f"""
{FIRST}{CUT}
this should never be seen
WARNING: made/up.c:34 at made_up+0x12/0x40, CPU#1: probe/77
{STACK}
{LAST}{END}"""),
    "WARN of older kernels": ("warn", "WARNING: CPU: 0 PID: 77 at made/up.c:34 made_up+0x12/0x40", f"""
{FIRST}{CUT}
WARNING: CPU: 0 PID: 77 at made/up.c:34 made_up+0x12/0x40
{STACK}
{LAST}{END}"""),
    "ODEBUG": ("odebug", "ODEBUG: free active (active state 0) object: 0000000012345678 object type: hrtimer hint: made_up+0x0/0x10", f"""
{FIRST}{CUT}
WARNING: lib/debugobjects.c:632 at debug_print_object+0x80/0xb0, CPU#0: probe/77
ODEBUG: free active (active state 0) object: 0000000012345678 object type: hrtimer hint: made_up+0x0/0x10
{STACK}
{LAST}{END}"""),
    "refcount": ("refcount", "refcount_t: underflow; use-after-free.", f"""
{FIRST}{CUT}
refcount_t: underflow; use-after-free.
WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x50/0x90, CPU#0: probe/77
{STACK}
{LAST}{END}"""),
    "list": ("list", "list_add corruption. next->prev should be prev (ffff1), but was ffff2. (next=ffff3).", f"""
{FIRST}{CUT}
list_add corruption. next->prev should be prev (ffff1), but was ffff2. (next=ffff3).
WARNING: lib/list_debug.c:29 at __list_add_valid_or_report+0x40/0x80, CPU#0: probe/77
{STACK}
{LAST}{END}"""),
    "list BUG": ("list", "list_del corruption, ffff1->next is LIST_POISON1 (dead000000000100)", f"""
{FIRST}{CUT}
list_del corruption, ffff1->next is LIST_POISON1 (dead000000000100)
kernel BUG at lib/list_debug.c:56!
Oops: invalid opcode: 0000 [#1] SMP
{STACK}
{LAST}{END}"""),
    "UBSAN": ("ubsan", "UBSAN: array-index-out-of-bounds in made/up.c:5:9", f"""
{FIRST}{CUT}
UBSAN: array-index-out-of-bounds in made/up.c:5:9
index 9 is out of range for type 'int [8]'
{STACK}
{LAST}{END}"""),
    "KASAN": ("kasan", "BUG: KASAN: slab-use-after-free in made_up+0x10/0x20", f"""
{FIRST}{RULE}
BUG: KASAN: slab-use-after-free in made_up+0x10/0x20
Read of size 8 at addr ffff888001234567 by task probe/77

{STACK}

Freed by task 78:
 kfree+0x10/0x20

Memory state around the buggy address:
>ffff888001234500: fa fb fb fb fb fb fb fb
                   ^
{LAST}{RULE}"""),
    "KCSAN": ("kcsan", "BUG: KCSAN: data-race in made_up / made_down", f"""
{FIRST}{RULE}
BUG: KCSAN: data-race in made_up / made_down

write to 0xffff888001234567 of 8 bytes by task 77 on cpu 0:
 made_up+0x10/0x20

Reported by Kernel Concurrency Sanitizer on:
CPU: 0 UID: 0 PID: 77 Comm: probe
{LAST}{RULE}"""),
    "KFENCE": ("kfence", "BUG: KFENCE: use-after-free read in made_up+0x10/0x20", f"""
{FIRST}{RULE}
BUG: KFENCE: use-after-free read in made_up+0x10/0x20
{LAST}{RULE}"""),
    "KMSAN": ("kmsan", "BUG: KMSAN: uninit-value in made_up+0x10/0x20", f"""
{FIRST}{RULE}
BUG: KMSAN: uninit-value in made_up+0x10/0x20
{LAST}{RULE}"""),
    "circular locking": ("lockdep", "WARNING: possible circular locking dependency detected", f"""
{FIRST}{RULE[:54]}
WARNING: possible circular locking dependency detected
7.3.4 Not tainted
{DASH[:54]}
probe/77 is trying to acquire lock:
-> #1 (b){{+.+.}}-{{3:3}}:
       lock_acquire+0x10/0x20

stack backtrace:
{LAST_STACK}"""),
    "recursive locking": ("lockdep", "WARNING: possible recursive locking detected", f"""
{FIRST}{RULE[:44]}
WARNING: possible recursive locking detected
{LAST_STACK}"""),
    "lock state": ("lockdep", "WARNING: inconsistent lock state", f"""
{FIRST}{RULE[:32]}
WARNING: inconsistent lock state
inconsistent {{HARDIRQ-ON-W}} -> {{IN-HARDIRQ-W}} usage.
{LAST_STACK}"""),
    "irq-unsafe order": ("lockdep", "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected", f"""
{FIRST}{RULE[:53]}
WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected
{LAST_STACK}"""),
    "wait context": ("lockdep", "[ BUG: Invalid wait context ]", f"""
{FIRST}{RULE[:29]}
[ BUG: Invalid wait context ]
{LAST_STACK}"""),
    "lockdep out of space": ("lockdep", "BUG: MAX_LOCKDEP_CHAINS too low!", f"""
{FIRST}BUG: MAX_LOCKDEP_CHAINS too low!
turning off the locking correctness validator.
{LAST_STACK}"""),
    "RCU usage": ("rcu usage", "WARNING: suspicious RCU usage", f"""
{FIRST}{RULE[:29]}
WARNING: suspicious RCU usage
made/up.c:9 suspicious rcu_dereference_check() usage!
{LAST_STACK}"""),
    "RCU stall": ("rcu stall", "rcu: INFO: rcu_preempt self-detected stall on CPU", f"""
{FIRST}rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: 	0-....: (2099 ticks this GP) idle=4fd4/1/0x4000000000000000 softirq=200/200 fqs=1050
{LAST_STACK}"""),
    "RCU stall elsewhere": ("rcu stall", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", f"""
{FIRST}rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
NMI backtrace for cpu 1
{LAST_STACK}"""),
    "expedited stall": ("rcu stall", "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 21 jiffies s: 1", f"""
{FIRST}rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {{ 1-...D }} 21 jiffies s: 1
{LAST_STACK}"""),
    "RCU tasks stall": ("rcu stall", "INFO: rcu_tasks detected stalls on tasks:", f"""
{FIRST}INFO: rcu_tasks detected stalls on tasks:
00000000c0ffee00: .. nvcsw: 2/2 holdout: 1 idle_cpu: -1/0
task:probe state:R running task
{LAST_STACK}"""),
    "soft lockup": ("soft lockup", "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [probe:77]", f"""
{FIRST}watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [probe:77]
RIP: 0010:made_up+0x10/0x20
{LAST_STACK}"""),
    "hard lockup": ("hard lockup", "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0", f"""
{FIRST}watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0
{LAST_STACK}"""),
    "hung task": ("hung task", "INFO: task probe:77 blocked for more than 120 seconds.", f"""
{FIRST}INFO: task probe:77 blocked for more than 120 seconds.
      Not tainted 7.3.4 #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
{LAST_STACK}"""),
    "workqueue lockup": ("workqueue lockup", "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!", f"""
{FIRST}BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!
Showing busy workqueues and worker pools:
workqueue events: flags=0x0
{LAST}  pwq 2: cpus=0 node=0 flags=0x0 nice=0 active=1 refcnt=2"""),
    "scheduling": ("atomic", "BUG: scheduling while atomic: probe/77/0x00000002", f"""
{FIRST}BUG: scheduling while atomic: probe/77/0x00000002
Modules linked in:
{LAST_STACK}"""),
    "sleeping": ("atomic", "BUG: sleeping function called from invalid context at made/up.c:7", f"""
{FIRST}BUG: sleeping function called from invalid context at made/up.c:7
in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 77, name: probe
{LAST_STACK}"""),
    "preemptible": ("atomic", "BUG: using smp_processor_id() in preemptible [00000000] code: probe/77", f"""
{FIRST}BUG: using smp_processor_id() in preemptible [00000000] code: probe/77
caller is made_up+0x10/0x20
{LAST_STACK}"""),
    "slab": ("slab", "BUG kmalloc-192 (Not tainted): Poison overwritten", f"""
{FIRST}{"=" * 77}
BUG kmalloc-192 (Not tainted): Poison overwritten
{DASH}

0xffff888001234560-0xffff888001234560 @offset=1376. First byte 0x0 instead of 0x6b
{LAST_STACK}"""),
    "slab, tainted": ("slab", "BUG kmalloc-64 (Tainted: [B]=BAD_PAGE): Object already free", f"""
{FIRST}{"=" * 77}
BUG kmalloc-64 (Tainted: [B]=BAD_PAGE): Object already free
{LAST_STACK}"""),
    "slab, left objects": ("slab", "BUG probe_cache (Not tainted): Objects remaining on __kmem_cache_shutdown()", f"""
{FIRST}{"=" * 77}
BUG probe_cache (Not tainted): Objects remaining on __kmem_cache_shutdown()
{LAST_STACK}"""),
    "kmemleak": ("kmemleak", "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", f"""
{FIRST}{LAST}kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"""),
    "bad page": ("BUG", "BUG: Bad page state in process probe  pfn:01234", f"""
{FIRST}BUG: Bad page state in process probe  pfn:01234
{LAST_STACK}"""),
    "Rust's BUG()": ("BUG", "kernel BUG at rust/helpers/bug.c:7!", f"""
{FIRST}{CUT}
kernel BUG at rust/helpers/bug.c:7!
{STACK}
{LAST}{END}"""),
    "Rust panic": ("rust panic", "rust_kernel: panicked at rust/kernel/made_up.rs:5:9:", f"""
{FIRST}rust_kernel: panicked at rust/kernel/made_up.rs:5:9:
{LAST}made up message"""),
}

BEFORE = ("Linux version 7.3.4 (nobody@nowhere)", "virtme-ng-init: starting script")
AFTER = ("clocksource: Switched to clocksource tsc", "reboot: Power down")


def stamped(lines, start=1.0, caller=""):
    """As the serial console shows it: time stamps and carriage returns."""
    return "".join(f"[{start + i / 1e4:12.6f}]{caller} {line}\r\n" for i, line in enumerate(lines))


def console(body, caller=""):
    """The console, and the lines of the report expected in it."""
    lines = body.strip("\n").split("\n")
    first = next(i for i, line in enumerate(lines) if FIRST in line)
    last = next(i for i, line in enumerate(lines) if LAST in line)
    lines = [re.sub(f"{FIRST}|{LAST}", "", line) for line in lines]
    text = stamped(BEFORE, 0.0, caller) + stamped(lines, 1.0, caller) + stamped(AFTER, 20.0, caller)
    return text, lines[first:last + 1]


HEALTHY = {
    "boot": """Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible!
random: crng init done
clocksource: Watchdog remote CPU 1 read timed out
virtme-ng-init: WARNING: failed to run: "udevadm" settle (error: Permission denied)
kmemleak: Kernel memory leak detector initialized (mem pool available: 15762)
kmemleak: Automatic memory scanning thread started
ODEBUG: selftest passed
ODEBUG: 14 of 14 active objects replaced
INFO: NMI handler (made_up) took too long to run: 1.234 msecs
INFO: lockdep is turned off.
hrtimer: interrupt took 1234567 ns
perf: interrupt took too long (2500 > 2487), lowering kernel.perf_event_max_sample_rate to 79000
Disabling lock debugging due to kernel taint
reboot: Power down""",
    "sysrq-l": f"""sysrq: Show backtrace of all active CPUs
NMI backtrace for cpu 0
{STACK}
Sending NMI from CPU 0 to CPUs 1:
NMI backtrace for cpu 1 skipped: idling at default_idle+0xf/0x20
NMI backtrace for cpu 1
{STACK}""",
    "sysrq-t": f"""sysrq: Show State
task:kworker/0:1     state:I stack:0     pid:10    tgid:10    ppid:2
{STACK}
Showing busy workqueues and worker pools:""",
    "dump_stack": STACK,
    "KUnit": """    KTAP version 1
    # Subtest: made_up
workqueue: work func made_up enqueued on deprecated workqueue. Use system_{percpu|dfl}_wq instead.
    ok 1 made_up""",
    "busy workqueue": "workqueue: made_up hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
    "unwinder": "WARNING: can't access registers at asm_sysvec_call_function+0x1a/0x20",
    "a rule alone": f"{RULE}\nnothing to see\n{RULE}",
    "someone quoting": "probe: the text BUG: unable to handle page fault is only quoted here",
}
