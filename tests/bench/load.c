// SPDX-License-Identifier: GPL-2.0
/* Throughput on several CPUs, and how late callbacks are, in the host's time. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "loader.h"
#include "load.skel.h"

#define WINDOW_NS	150000000ULL
#define WINDOWS		5
#define LATES		400	/* callbacks */
#define WAIT_S		20	/* for one callback: the host may be busy */

static struct load_bpf *sk;
static volatile bool go, stop;

struct worker {
	pthread_t thread;
	struct bpf_program *prog;
	int cpu, key, err;
	volatile bool ready;
	__u64 runs;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	int fd = bpf_program__fd(w->prog);

	if (!pin_cpu(w->cpu))
		w->err = -errno;
	w->ready = true;
	while (!go)
		poll_pause();
	while (!stop && !w->err) {
		w->err = run_prog(fd, w->key);
		w->runs++;
	}
	return NULL;
}

/* Operations in a second, of all CPUs together. */
static double throughput(struct bpf_program *prog, int cpus, bool separate)
{
	struct worker workers[LOAD_CPUS] = {};
	__u64 begin, end, runs = 0;
	int i;

	go = stop = false;
	for (i = 0; i < cpus; i++) {
		workers[i] = (struct worker){ .prog = prog, .cpu = i, .key = separate ? i : 0 };
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("cannot start a thread", "load", i);
	}
	for (i = 0; i < cpus; i++)
		if (!WAIT_UNTIL(workers[i].ready, WAIT_S))
			die("a thread does not begin", "load", i);
	begin = now_ns();
	go = true;
	while (now_ns() < begin + WINDOW_NS)
		poll_pause();
	stop = true;
	for (i = 0; i < cpus; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].err)
			die("test_run failed", "load", workers[i].err);
		runs += workers[i].runs;
	}
	end = now_ns();
	if (sk->bss->wrong)
		die("the operation failed for some", "load", sk->bss->wrong);
	return runs * (double)LOAD_OPS * 1e9 / (end - begin);
}

static void report(const char *what, struct bpf_program *prog, int cpus, bool separate)
{
	printf("load\t%s\t%s\t%d\t%.0f\n", what, separate ? "separate" : "one", cpus,
	       throughput(prog, cpus, separate));
	fflush(stdout);
}

static void run_syscall(struct bpf_program *prog)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts) || sk->bss->wrong)
		die("test_run failed", bpf_program__name(prog), sk->bss->wrong);
}

static int compare(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

static void lateness(const char *what, struct bpf_program *prog)
{
	__u64 values[LATES];
	int i;

	for (i = 0; i < LATES; i++) {
		__u64 before = sk->bss->fired;

		run_syscall(prog);
		if (!WAIT_UNTIL(sk->bss->fired != before, WAIT_S))
			die("the callback did not run", what, i);
		values[i] = sk->bss->late;
	}
	qsort(values, LATES, sizeof(*values), compare);
	printf("late\t%s\t%llu\t%llu\n", what, (unsigned long long)values[LATES / 2],
	       (unsigned long long)values[LATES * 99 / 100]);
	fflush(stdout);
}

void load_main(void)
{
	static const int cpus[] = { 1, 2, LOAD_CPUS };
	int i, separate, window;

	sk = load_bpf__open_and_load();
	if (!sk)
		die("cannot be loaded", "load.bpf.o", -errno);
	run_syscall(sk->progs.make);
	/* In turns, so that what else the host does hits all of them. */
	for (window = 0; window < WINDOWS; window++) {
		for (separate = 0; separate < 2; separate++) {
			/* One CPU has its own timer in any case. */
			for (i = separate; i < (int)(sizeof(cpus) / sizeof(*cpus)); i++) {
				report("start", sk->progs.load_start, cpus[i], separate);
				report("set_callback", sk->progs.load_set, cpus[i], separate);
			}
		}
	}
	pin_cpu(0);
	lateness("timer", sk->progs.late_timer);
	lateness("timer, IRQs off", sk->progs.late_timer_off);
	lateness("wq", sk->progs.late_wq);
	lateness("wq, IRQs off", sk->progs.late_wq_off);
	load_bpf__destroy(sk);
}
