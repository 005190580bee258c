// SPDX-License-Identifier: GPL-2.0
/* H9 to H14, H29, H33: nothing may hang, wherever the call comes from. */
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
#include "many.skel.h"

#define PIN		2
#define CHAIN_LIMIT	1000

/* The same in lockup.bpf.c. */
enum { OFF, SAME, PAIR, RQ_LOCK, CALL_RCU, DYING };

/* n timers on n CPUs whose callbacks all wait; then each does op to the next. */
static const char *ring(struct script_bpf *sk, int map, u32 op, int n)
{
	struct element *e[3];
	struct runner r[3] = {};
	const char *err = NULL;
	int i, started = 0, refused = 0;

	gate_close(sk, 0);
	for (i = 0; i < n; i++) {
		e[i] = element(sk, map, i);
		e[i]->hold = 1;
		e[i]->act_op = op;
		e[i]->act_map = map;
		e[i]->act_key = (i + 1) % n;
		e[i]->t_begun = e[i]->t_ended = 0;
		RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, map, i),
		    STEP(T_INIT, map, i, .flags = 1), STEP(T_SET, map, i));
	}
	for (i = 0; i < n; i++) {
		struct step s = STEP(T_START, map, i, .nsecs = 0, .flags = PIN);

		/* The callback may run on top of this thread and keep it. */
		r[i] = (struct runner){ .sk = sk, .nr = 1 + i, .cpu = i };
		script_put(sk, 1 + i, &s, 1);
		runner_start(&r[i]);
		started++;
		CHECK(WAIT_UNTIL(e[i]->t_begun, 10), "timer %d did not fire", i);
	}
	gate_open(sk, 0);
	for (i = 0; i < n; i++) {
		CHECK(WAIT_UNTIL(e[i]->t_ended, 10), "callback %d of %d hangs", i, n);
		refused += e[i]->act_ret == -EDEADLK;
	}
	CHECK(op != T_CANCEL || refused, "a ring of %d cancels and none was refused", n);
out:
	gate_open(sk, 0);
	for (i = 0; i < started; i++)
		if (runner_join(&r[i]))
			err = fail("the script that starts timer %d did not run", i);
	return err;
}

static const char *h9(int seconds)
{
	struct script_bpf *sk = script_load(PROG_A);
	const char *err = NULL;
	int n;

	if (!sk)
		return fail("cannot load script.bpf.o");
	CHECK(cpu_count() >= 4, "needs 4 CPUs, has %d", cpu_count());
	pin_cpu(3);
	for (n = 2; n <= 3 && !err; n++) {
		err = ring(sk, HASH, T_CANCEL, n);
		err = err ?: ring(sk, ARR, T_CANCEL, n);
		err = err ?: ring(sk, HASH, OP_UPDATE, n);
		err = err ?: ring(sk, HASH, OP_DELETE, n);
		err = err ?: ring(sk, ARR, OP_UPDATE, n);
	}
out:
	script_unload(sk);
	return err;
}

static struct lockup_bpf *lockup_load(void)
{
	struct lockup_bpf *sk = lockup_bpf__open_and_load();

	if (sk && lockup_bpf__attach(sk)) {
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
	struct lockup_bpf *sk = lockup_load();
	const char *err = NULL;
	int i;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	CHECK(!lockup_run(sk, sk->progs.start, 0), "start");
	CHECK(!lockup_run(sk, sk->progs.start, 1), "start");
	sk->bss->on = mode;
	for (i = 0; i < 2; i++)
		lockup_run(sk, sk->progs.start, i);
	sk->bss->on = OFF;
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

static bool put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
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
	put_text(CGROOT "/cgroup.subtree_control", "+memory");
	mkdir(CGROUP, 0700);
	if (!put_text(CGROUP "/cgroup.procs", "0"))
		return fail("cannot enter a cgroup: %s", strerror(errno));
	return NULL;
}

static void leave_cgroup(void)
{
	put_text(CGROUP "/memory.high", "max");
	put_text(CGROOT "/cgroup.procs", "0");
	rmdir(CGROUP);
	umount(CGROOT);
}

/* How often memory.high has been exceeded: each time is an event. */
static long high_events(void)
{
	char line[64];
	long n = -1;
	FILE *f = fopen(CGROUP "/memory.events", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "high %ld", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

/* Elements come and go in sched_switch, where the run queue is locked. */
static const char *under_rq_lock(int seconds, bool events)
{
	struct lockup_bpf *sk = lockup_load();
	const char *err = NULL;
	uint64_t end = now_ns() + seconds * 1000000000ULL;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	/* The maps are charged to the cgroup that is full from here on. */
	CHECK(!events || put_text(CGROUP "/memory.high", "0"), "setting memory.high");
	sk->bss->on = RQ_LOCK;
	while (now_ns() < end) {
		poll_pause();
		rcu_wait();
	}
	sk->bss->on = OFF;
	CHECK(sk->bss->frees > 100, "only %llu elements went through it in %llu runs",
	      (unsigned long long)sk->bss->frees, (unsigned long long)sk->bss->hits);
	say("%llu elements in %llu switches", (unsigned long long)sk->bss->frees,
	    (unsigned long long)sk->bss->hits);
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
	long n;

	if (!err)
		err = under_rq_lock(seconds, true);
	n = high_events();
	leave_cgroup();
	if (!err && n < 1)
		err = fail("the cgroup had no event");
	say("%ld events of the cgroup", n);
	return err;
}

/* Freeing one element calls call_rcu(); inside that another one is freed. */
static const char *h13(int seconds)
{
	struct lockup_bpf *sk = lockup_load();
	const char *err = NULL;
	char zero[64] = {};
	int round, key = 3;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	pin_cpu(0);	/* the program takes the element of its CPU's number */
	sk->bss->on = CALL_RCU;
	for (round = 1; round <= 100; round++) {
		CHECK(!lockup_run(sk, sk->progs.start, key), "start");
		sk->bss->budget = 1;
		CHECK(!bpf_map__update_elem(sk->maps.locked, &key, sizeof(key), zero,
					    bpf_map__value_size(sk->maps.locked), 0), "update");
		CHECK(WAIT_UNTIL(sk->bss->frees == round, 10),
		      "round %d: %llu frees inside call_rcu() in %llu runs", round,
		      (unsigned long long)sk->bss->frees, (unsigned long long)sk->bss->hits);
	}
out:
	sk->bss->on = OFF;
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

/* A CPU goes while operations are queued on it, to the last moment; comes back. */
static const char *h29(int seconds)
{
	struct lockup_bpf *sk = lockup_load();
	const char *err = NULL;
	u64 fired;
	int i;

	if (!sk)
		return fail("cannot load lockup.bpf.o");
	pin_cpu(0);
	for (i = 2; i < 4; i++)
		CHECK(!lockup_run(sk, sk->progs.start, i), "start");
	CHECK(lockup_run(sk, sk->progs.is_armed, 2) == 1, "timer 2 is not armed");
	sk->bss->cpu_only = 1;
	sk->bss->on = DYING;
	CHECK(!online(1, "0"), "taking CPU 1 down");
	sk->bss->on = OFF;
	CHECK(sk->bss->queued, "nothing was queued on the CPU that went (%llu runs)",
	      (unsigned long long)sk->bss->hits);
	say("%llu starts queued on the dying CPU", (unsigned long long)sk->bss->queued);
	CHECK(lockup_run(sk, sk->progs.is_armed, 2) == 1, "a start queued on the dying CPU is lost");
	CHECK(!online(1, "1"), "taking CPU 1 up");
	CHECK(lockup_run(sk, sk->progs.is_armed, 2) == 0,
	      "a start queued on the dying CPU took effect after a cancel");
	CHECK(pin_cpu(1), "running on CPU 1");
	fired = sk->bss->fired;
	CHECK(!lockup_run(sk, sk->progs.start_irqs_off, 3), "start with IRQs off");
	CHECK(WAIT_UNTIL(sk->bss->fired > fired, 10), "deferral is dead on the CPU that came back");
out:
	sk->bss->on = OFF;
	online(1, "1");
	lockup_bpf__destroy(sk);
	return err;
}

static long nsecs_each(struct bpf_program *p, u32 mark)
{
	static const char packet[64];
	struct __sk_buff ctx = { .mark = mark };
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = packet, .data_size_in = sizeof(packet),
		.ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 20000);

	return bpf_prog_test_run_opts(bpf_program__fd(p), &opts) ? -1 : (long)opts.duration;
}

static const char *h33(int seconds)
{
	struct many_bpf *sk = many_bpf__open_and_load();
	const char *err = NULL;
	struct bpf_program *p[2];
	int i, mark;

	if (!sk)
		return fail("cannot load many.bpf.o");
	p[0] = sk->progs.with_few;
	p[1] = sk->progs.with_many;
	for (i = 0; i < 2; i++) {
		run_prog(bpf_program__fd(p[i]), 0);
		CHECK(!sk->bss->last_ret, "init");
		for (mark = 3; mark <= 4; mark++) {
			run_prog(bpf_program__fd(p[i]), mark);
			CHECK(!sk->bss->last_ret, "set_callback: %d", sk->bss->last_ret);
			CHECK(WAIT_UNTIL(sk->bss->fired[i * 2 + mark - 3] == 1, 10),
			      "the callback that was set did not run");
		}
		CHECK(sk->bss->fired[i * 2] == 1 && sk->bss->fired[i * 2 + 1] == 1,
		      "another callback ran");
		say("%s subprograms: the same callback again %ld ns, two in turn %ld ns",
		    i ? "254" : "3", nsecs_each(p[i], 1), nsecs_each(p[i], 2));
	}
out:
	many_bpf__destroy(sk);
	return err;
}

const struct test lockup_tests[] = {
	{ "H9", h9, "callbacks that cancel or free each other in a ring", .own_boot = true },
	{ "H10", h10, "start from the tracepoint of the same start", .own_boot = true,
	  .one_thread = true },
	{ "H11", h11, "starts that beget starts over two timers", .own_boot = true,
	  .one_thread = true,
	  .c_says = "without end" },
	{ "H12", h12, "init under the run queue's lock, with events of a full cgroup",
	  .own_boot = true, .one_thread = true, .seconds = 3 },
	{ "H13", h13, "last references dropped inside call_rcu", .own_boot = true,
	  .one_thread = true },
	{ "H14", h14, "the life of an element under the run queue's lock", .own_boot = true,
	  .one_thread = true, .seconds = 3 },
	{ "H29", h29, "a CPU goes away with operations queued on it", .own_boot = true },
	{ "H33", h33, "set_callback with few and with 254 subprograms" },
	{}
};
