// SPDX-License-Identifier: GPL-2.0
/*
 * One timer that hard interrupts of three CPUs start at full speed: H35. Each
 * does no more than an honest program does, so all of it must be performed by
 * the interrupt that comes next, and nothing may be left to a task.
 */
#include <sys/syscall.h>

#include "async_helpers.h"
#include "timer_meet.skel.h"

#define RATE		"/proc/sys/kernel/perf_event_max_sample_rate"
#define PERCENT	"/proc/sys/kernel/perf_cpu_time_max_percent"
#define CPUS	3	/* from 1 on: 0 looks on */
#define STARTS	20000	/* on each CPU */
#define STARTS_DEBUG	500	/* where each takes so long that few meet */
#define PERIOD	10000	/* ns between two interrupts; the kernel takes no less */

/* The program in a hard interrupt of that CPU, over and over. */
static struct bpf_link *interrupts_of(struct bpf_program *p, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr), .sample_period = PERIOD,
	};
	int fd = syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return ASSERT_OK_FD(fd, "clock event") ? bpf_program__attach_perf_event(p, fd) : NULL;
}

/* Keeps its CPU from being idle, which has no such interrupts. */
static volatile bool over;

static void *spin(void *arg)
{
	while (!over)
		;
	return NULL;
}

static bool all_started(const struct timer_meet__bss *g)
{
	__u64 starts = async_can_init_in_nmi() ? STARTS : STARTS_DEBUG;
	int cpu;

	for (cpu = 1; cpu <= CPUS; cpu++)
		if (SEEN(g->starts[cpu]) < starts)
			return false;
	return true;
}

static void meet(void)
{
	static const char *const names[] = { "bpf_async_drain_overflow", NULL };
	struct timer_meet *skel = timer_meet__open_and_load();
	struct bpf_link *link[CPUS + 1] = {}, *late[CPUS + 1] = {};
	pthread_t thread[CPUS + 1] = {};
	char rate[32] = "", percent[32] = "";
	struct async_function f;
	bool done = false;
	int i, cpu;

	if (!ASSERT_OK_PTR(skel, "open_and_load") ||
	    !ASSERT_OK(async_run(skel->progs.setup, 0), "set the timer up"))
		goto out;
	if (async_is_rust()) {
		if (!ASSERT_GT(async_find_functions(names, &f, 1), 0, names[0]))
			goto out;
		for (cpu = 0; cpu <= CPUS; cpu++) {
			late[cpu] = async_break_at(skel->progs.on_late, f.addr, cpu);
			if (!ASSERT_OK_PTR(late[cpu], "attach"))
				goto out;
		}
	}
	/* So that the kernel does not slow the events down. */
	if (!async_sysctl(RATE, "1000000", rate, sizeof(rate)) ||
	    !async_sysctl(PERCENT, "0", percent, sizeof(percent)))
		goto out;
	async_pin(0);
	over = false;
	for (cpu = 1; cpu <= CPUS; cpu++) {
		thread[cpu] = async_thread(cpu, spin, NULL);
		link[cpu] = interrupts_of(skel->progs.in_interrupt, cpu);
		if (!ASSERT_OK_PTR(link[cpu], "attach"))
			goto out;
	}
	/* As for a race, some times as long as for one event. */
	for (i = 0; i < 8 && !done; i++)
		done = async_wait(all_started(skel->bss));
	for (cpu = 1; cpu <= CPUS; cpu++) {
		bpf_link__destroy(link[cpu]);
		link[cpu] = NULL;
	}
	printf("starts on each CPU: %lu, %lu, %lu; left to a task %lu times\n",
	       skel->bss->starts[1], skel->bss->starts[2], skel->bss->starts[3], skel->bss->late);
	ASSERT_EQ(skel->bss->elsewhere, 0, "starts in another context");
	ASSERT_EQ(skel->bss->refused, 0, "starts that were refused");
	ASSERT_TRUE(done, "there are interrupts");
	ASSERT_EQ(skel->bss->late, 0, "left to a task, not performed in an interrupt");
	ASSERT_EQ(async_run(skel->progs.is_armed, 0), 1, "armed by the last start");
out:
	over = true;
	for (cpu = 0; cpu <= CPUS; cpu++) {
		bpf_link__destroy(link[cpu]);
		bpf_link__destroy(late[cpu]);
		if (thread[cpu])
			pthread_join(thread[cpu], NULL);
	}
	/* In this order: with 0 percent the rate cannot be set. */
	if (*percent)
		write_sysctl(PERCENT, percent);
	if (*rate)
		write_sysctl(RATE, rate);
	timer_meet__destroy(skel);
}

void serial_test_timer_meet_in_hardirq(void)
{
	if (async_needs_cpus(4))
		async_test(meet);
}
