// SPDX-License-Identifier: GPL-2.0
/* H10 to H14, H29: nothing may hang, wherever the call comes from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "lockup.skel.h"

#define CHAIN_LIMIT	1000
#define ELEMENTS	100	/* that must have come and gone under the run queue's lock */
#define PATIENCE	10	/* times as long, on a slow machine, until they have */

/* The same in lockup.bpf.c. */
enum { MODE_OFF, SAME, PAIR, RQ_LOCK, CALL_RCU, DYING };
#define FIRST_LATE	8
#define LATE		32

/* Only what the case needs is attached: no other text is patched. */
static struct lockup_bpf *lockup_load(u32 mode)
{
	static const char *const names[] = { [SAME] = "start_", [PAIR] = "start_",
		[RQ_LOCK] = "rq_", [CALL_RCU] = "rcu_", [DYING] = "cpu_" };
	struct lockup_bpf *sk = lockup_bpf__open_and_load();
	struct bpf_program *p;

	if (!sk)
		return NULL;
	bpf_object__for_each_program(p, sk->obj)
		bpf_program__set_autoattach(p, strstr(bpf_program__name(p), names[mode]) ==
					       bpf_program__name(p));
	if (lockup_bpf__attach(sk)) {
		lockup_bpf__destroy(sk);
		return NULL;
	}
	return sk;
}

static int lockup_run(struct lockup_bpf *sk, struct bpf_program *p, u32 mark)
{
	run_prog(bpf_program__fd(p), mark);
	return sk->bss->last_ret;
}

/* Start from inside hrtimer_start(), the same timer or two in turn. */
static const char *from_tracepoint(u32 mode)
{
	struct lockup_bpf *sk = lockup_load(mode);
	const char *err = NULL;
	int i;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	CHECK(!lockup_run(sk, sk->progs.start, 0), "start");
	CHECK(!lockup_run(sk, sk->progs.start, 1), "start");
	sk->bss->on = mode;
	for (i = 0; i < 2; i++)
		lockup_run(sk, sk->progs.start, i);
	sk->bss->on = MODE_OFF;
	CHECK(sk->bss->hits, "the tracepoint's program did not run");
	CHECK(sk->bss->chain < CHAIN_LIMIT, "starts begot starts without end");
	say("%llu starts seen, %llu begot", (unsigned long long)sk->bss->hits,
	    (unsigned long long)sk->bss->chain);
	for (i = 0; i < 2; i++)
		CHECK(lockup_run(sk, sk->progs.is_armed, i) == 1, "timer %d is not armed", i);
out:
	lockup_bpf__destroy(sk);
	return err;
}

static const char *h10(int seconds) { return from_tracepoint(SAME); }
static const char *h11(int seconds) { return from_tracepoint(PAIR); }

static bool put_text(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | flags);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

#define CGROOT	"/run/bpf_async_cgroup"
#define CGROUP	CGROOT "/test"

/* A memory cgroup of our own, so that its events can be provoked. */
static const char *enter_cgroup(void)
{
	mkdir(CGROOT, 0700);
	if (mount("cgroup2", CGROOT, "cgroup2", 0, NULL) && errno != EBUSY)
		return fail("cannot mount the cgroups: %s", strerror(errno));
	put_text(CGROOT "/cgroup.subtree_control", "+memory", 0);
	mkdir(CGROUP, 0700);
	if (!put_text(CGROUP "/cgroup.procs", "0", 0))
		return fail("cannot enter a cgroup: %s", strerror(errno));
	return NULL;
}

/*
 * No page more for the cgroup, or as many as it wants. memory.high gives back
 * what CPUs have in stock; without waiting, memory.max does not kill for it.
 */
static bool set_full(bool full)
{
	return put_text(CGROUP "/memory.high", "0", 0) &&
	       put_text(CGROUP "/memory.high", "max", 0) &&
	       put_text(CGROUP "/memory.max", full ? "0" : "max", O_NONBLOCK);
}

/* Elements come and go in sched_switch, where the run queue is locked. */
static const char *under_rq_lock(int seconds, bool events)
{
	struct lockup_bpf *sk = lockup_load(RQ_LOCK);
	uint64_t phase, length = seconds * 1000000000ULL, start = now_ns();
	const char *err = NULL;
	bool full = events, shown = false;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	/* The maps stay charged to the cgroup, and nothing else is. */
	CHECK(!events || put_text(CGROOT "/cgroup.procs", "0", 0),
	      "leaving the cgroup: %s", strerror(errno));
	sk->bss->on = RQ_LOCK;
	for (; now_ns() < start + length * (shown ? 1 : PATIENCE); full = events && !full) {
		CHECK(!events || set_full(full), "setting memory.max: %s", strerror(errno));
		phase = now_ns() + 250000000;
		while (now_ns() < phase) {
			poll_pause();
			rcu_wait();
		}
		shown = sk->bss->frees > ELEMENTS && (!events || sk->bss->over_max);
	}
	sk->bss->on = MODE_OFF;
	say("%llu elements in %llu switches, %llu refused, %llu by memory.max",
	    (unsigned long long)sk->bss->frees, (unsigned long long)sk->bss->hits,
	    (unsigned long long)sk->bss->refused, (unsigned long long)sk->bss->over_max);
	CHECK(sk->bss->frees > ELEMENTS, "only %llu elements went through it in %llu runs",
	      (unsigned long long)sk->bss->frees, (unsigned long long)sk->bss->hits);
	CHECK(!sk->bss->others, "neither 0 nor -ENOMEM under the lock: %d", sk->bss->last_ret);
	CHECK(!sk->bss->notified, "%llu events under the lock took locks",
	      (unsigned long long)sk->bss->notified);
	CHECK(!events || sk->bss->over_max, "memory.max was not hit under the lock");
out:
	lockup_bpf__destroy(sk);
	return err;
}

static const char *h14(int seconds)
{
	return under_rq_lock(seconds, false);
}

static const char *h12(int seconds)
{
	const char *err = enter_cgroup();

	if (!err)
		err = under_rq_lock(seconds, true);
	put_text(CGROOT "/cgroup.procs", "0", 0);
	rmdir(CGROUP);
	umount(CGROOT);
	return err;
}

/* Freeing one element calls call_rcu(); inside that another one is freed. */
static const char *h13(int seconds)
{
	struct lockup_bpf *sk = lockup_load(CALL_RCU);
	const char *err = NULL;
	char zero[64] = {};
	int round, key = 3;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	pin_cpu(0);	/* the program takes the element of its CPU's number */
	sk->bss->on = CALL_RCU;
	for (round = 1; round <= 50; round++) {
		CHECK(!lockup_run(sk, sk->progs.start, key), "start");
		sk->bss->budget = 1;
		CHECK(!bpf_map__update_elem(sk->maps.locked, &key, sizeof(key), zero,
					    bpf_map__value_size(sk->maps.locked), 0), "update");
		CHECK(WAIT_UNTIL(sk->bss->frees == round, 10),
		      "round %d: %llu frees inside call_rcu() in %llu runs", round,
		      (unsigned long long)sk->bss->frees, (unsigned long long)sk->bss->hits);
		CHECK(!sk->bss->nested, "call_rcu() was called from inside of call_rcu()");
		CHECK(WAIT_UNTIL(sk->bss->freed == round, 10), "round %d: the object %s", round,
		      sk->bss->retired == round ? "is not freed" : "never gets to RCU");
		CHECK(sk->bss->retired == round, "round %d: freed without RCU", round);
	}
out:
	sk->bss->on = MODE_OFF;
	lockup_bpf__destroy(sk);
	return err;
}

static int online(int cpu, const char *value)
{
	char path[64];
	int fd, n;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	n = write(fd, value, 1) == 1 ? 0 : -errno;
	close(fd);
	return n;
}

/* Of the late timers exactly these are armed; they are not afterwards. */
static const char *late_armed(struct lockup_bpf *sk, u32 from, u32 to, const char *when)
{
	u32 i;
	int n;

	for (i = 0; i < LATE; i++) {
		n = lockup_run(sk, sk->progs.is_armed, FIRST_LATE + i);
		if (n != (i >= from && i < to))
			return fail("%s: start %u of %u is %s (%d)", when, i + 1, to,
				    n ? "performed, not queued" : "not performed", n);
	}
	return NULL;
}

/* Load a program that only a timer has a reference to, in element key; its id. */
static __u32 prog_of_timer(struct lockup_bpf *sk, u32 key)
{
	struct lockup_bpf *other = lockup_bpf__open();
	struct bpf_program *p;
	__u32 id = 0;

	if (!other)
		return 0;
	bpf_object__for_each_program(p, other->obj)
		bpf_program__set_autoload(p, p == other->progs.start_hash);
	if (!bpf_map__reuse_fd(other->maps.locked_hash, bpf_map__fd(sk->maps.locked_hash)) &&
	    !lockup_bpf__load(other) && !lockup_run(other, other->progs.start_hash, key))
		id = prog_id(bpf_program__fd(other->progs.start_hash));
	lockup_bpf__destroy(other);
	rcu_wait();
	return id;
}

/* A CPU goes and comes back while operations are queued on it that no irq_work performs. */
static const char *h29(int seconds)
{
	struct lockup_bpf *sk = lockup_load(DYING);
	const char *err = NULL;
	u32 i, down, up, progs[2];
	u64 fired;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	pin_cpu(0);
	CHECK(!lockup_run(sk, sk->progs.start, 3), "start");
	for (i = FIRST_LATE; i < FIRST_LATE + LATE; i++) {
		CHECK(!lockup_run(sk, sk->progs.start, i), "start");
		CHECK(lockup_run(sk, sk->progs.is_armed, i) == 1, "timer %u is not armed", i);
	}
	for (i = 0; i < 2; i++) {
		progs[i] = prog_of_timer(sk, i);
		CHECK(progs[i] && prog_exists(progs[i]), "program %u is not there", i);
	}
	sk->bss->cpu_only = 1;
	sk->bss->on = DYING;
	CHECK(!online(1, "0"), "taking CPU 1 down");
	down = sk->bss->queued;
	CHECK(down, "nothing was queued on the CPU that went: %d", sk->bss->last_ret);
	err = late_armed(sk, 0, down, "the CPU is dead");
	if (err)
		goto out;
	CHECK(WAIT_UNTIL(!prog_exists(progs[0]), 10), "the CPU is dead: a program is not put");
	CHECK(prog_exists(progs[1]), "the other program is gone already");
	CHECK(!online(1, "1"), "taking CPU 1 up");
	sk->bss->on = MODE_OFF;
	CHECK(WAIT_UNTIL(!prog_exists(progs[1]), 10), "the CPU is back: a program is not put");
	up = sk->bss->queued;
	say("%u starts queued on the dying CPU, %u on the one that came up", down, up - down);
	CHECK(sk->bss->hits == up, "only %u starts were queued: %d", up, sk->bss->last_ret);
	CHECK(up > down, "nothing was queued on the CPU that came");
	err = late_armed(sk, down, up, "the CPU is back");
	if (err)
		goto out;
	CHECK(pin_cpu(1), "running on CPU 1");
	fired = sk->bss->fired;
	CHECK(!lockup_run(sk, sk->progs.start_irqs_off, 3), "start with IRQs off");
	CHECK(WAIT_UNTIL(sk->bss->fired > fired, 10), "deferral is dead on the CPU that came back");
out:
	sk->bss->on = MODE_OFF;
	online(1, "1");
	lockup_bpf__destroy(sk);
	return err;
}

const struct test lockup_tests[] = {
	{ "H10", h10, "start from the tracepoint of the same start", .own_boot = true,
	  .one_thread = true },
	{ "H11", h11, "starts that beget starts over two timers", .own_boot = true,
	  .one_thread = true,
	  .c_says = "without end|hard LOCKUP|soft lockup|stall" },
	{ "H12", h12, "init under the run queue's lock, with events of a full cgroup",
	  .own_boot = true, .one_thread = true, .seconds = 3 },
	{ "H13", h13, "last references dropped inside call_rcu", .own_boot = true,
	  .one_thread = true },
	{ "H14", h14, "the life of an element under the run queue's lock", .own_boot = true,
	  .one_thread = true, .seconds = 3 },
	{ "H29", h29, "a CPU goes away with operations queued on it", .own_boot = true,
	  .one_thread = true,
	  .c_says = "is not performed" },
	{}
};
