// SPDX-License-Identifier: GPL-2.0
/*
 * H35: one timer that hard interrupts of three CPUs start at full speed. Each
 * does no more than an honest program does, so all of it must be performed by
 * the interrupt that comes next, and nothing may be left to a task.
 */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "meet.skel.h"

#define CPUS	3	/* from 1 on: 0 looks on */
#define STARTS	20000	/* on each CPU */
#define STARTS_DEBUG	500	/* where each takes so long that few meet */
#define PERIOD	10000	/* ns between two interrupts; the kernel takes no less */

/* So that the kernel does not slow the events down. */
static void no_throttle(void)
{
	static const char *const set[][2] = {
		{ "/proc/sys/kernel/perf_event_max_sample_rate", "1000000" },
		{ "/proc/sys/kernel/perf_cpu_time_max_percent", "0" },
	};
	int i;

	for (i = 0; i < 2; i++) {
		FILE *f = fopen(set[i][0], "w");

		if (f) {
			fputs(set[i][1], f);
			fclose(f);
		}
	}
}

/* The program in a hard interrupt of that CPU, over and over. */
static struct bpf_link *interrupts_of(struct bpf_program *p, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr), .sample_period = PERIOD,
	};
	int fd = syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? NULL : bpf_program__attach_perf_event(p, fd);
}

/* Keeps its CPU from being idle, which has no such interrupts. */
static volatile bool over;

static void *spin(void *arg)
{
	while (!over)
		;
	return NULL;
}

static bool all_started(const struct meet_bpf__bss *g)
{
	u64 starts = can_init_in_nmi() ? STARTS : STARTS_DEBUG;
	int cpu;

	for (cpu = 1; cpu <= CPUS; cpu++)
		if (g->starts[cpu] < starts)
			return false;
	return true;
}

static const char *h35(int seconds)
{
	static const char *const names[] = { "bpf_async_drain_overflow", "bpf_async_drain_late",
					     NULL };
	struct meet_bpf *sk = meet_bpf__open_and_load();
	struct bpf_link *link[CPUS + 1] = {}, *late[CPUS + 1] = {};
	pthread_t thread[CPUS + 1] = {};
	const char *err = NULL;
	struct function f;
	int cpu, armed;
	bool done;

	CHECK(sk, "cannot load meet.bpf.o");
	CHECK(!run_prog(bpf_program__fd(sk->progs.setup), 0), "cannot set the timer up");
	if (is_rust()) {
		CHECK(find_functions(names, &f, 1), "this kernel has no %s", names[0]);
		for (cpu = 0; cpu <= CPUS; cpu++) {
			late[cpu] = break_at(sk->progs.on_late, f.addr, cpu);
			CHECK(late[cpu], "no hardware breakpoint at %s", f.name);
		}
	}
	no_throttle();
	pin_cpu(0);
	over = false;
	for (cpu = 1; cpu <= CPUS; cpu++) {
		thread[cpu] = thread_on(cpu, spin, NULL);
		link[cpu] = interrupts_of(sk->progs.in_interrupt, cpu);
		CHECK(link[cpu], "no clock event on CPU %d", cpu);
	}
	done = WAIT_UNTIL(all_started(sk->bss), 120);
	for (cpu = 1; cpu <= CPUS; cpu++) {
		bpf_link__destroy(link[cpu]);
		link[cpu] = NULL;
	}
	say("starts on each CPU: %llu, %llu, %llu; left to a task %llu times", sk->bss->starts[1],
	    sk->bss->starts[2], sk->bss->starts[3], sk->bss->late);
	CHECK(!sk->bss->elsewhere, "%llu starts in another context", sk->bss->elsewhere);
	CHECK(!sk->bss->refused, "%llu starts were refused", sk->bss->refused);
	CHECK(done, "hardly any interrupts");
	CHECK(!sk->bss->late, "left to a task %llu times, not performed in an interrupt",
	      sk->bss->late);
	armed = run_prog(bpf_program__fd(sk->progs.is_armed), 0);
	CHECK(armed == 1, "the last start is not performed: %d", armed);
out:
	over = true;
	for (cpu = 0; cpu <= CPUS; cpu++) {
		bpf_link__destroy(link[cpu]);
		bpf_link__destroy(late[cpu]);
		if (thread[cpu])
			pthread_join(thread[cpu], NULL);
	}
	meet_bpf__destroy(sk);
	return err;
}

const struct test meet_tests[] = {
	{ "H35", h35, "a timer that hard interrupts of three CPUs start: no operation is left to a task",
	  .own_boot = true },
	{}
};
