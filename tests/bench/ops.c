// SPDX-License-Identifier: GPL-2.0
/*
 * The instructions of every operation: the medians of many samples, as some
 * were hit by the kernel's tick or had to get a new slab. The cost of measuring,
 * found by measuring nothing in the same way, is subtracted from all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "loader.h"
#include "ops.h"
#include "bench.skel.h"

#define FIRES		101	/* odd numbers, for the median */
#define DESTROYS	3

static struct bench_bpf *sk;
static __u32 values[MANY];

static int prog_fd(const char *name)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(sk->obj, name);

	if (!prog)
		die("there is no such program", name, 0);
	return bpf_program__fd(prog);
}

/* Run a tc program over some elements: its samples are in the skeleton. */
static void run(const char *name, __u32 elements)
{
	int err;

	sk->bss->elements = elements;
	sk->bss->wrong = 0;
	err = run_prog(prog_fd(name), 0);
	if (err)
		die("test_run failed", name, err);
	if (sk->bss->wrong)
		die("the operation returned something else", name, sk->bss->wrong_value);
	if (sk->bss->taken != elements)
		die("it did not go through all elements", name, sk->bss->taken);
	memcpy(values, sk->bss->samples, elements * sizeof(*values));
}

static void run_syscall(const char *name)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	unsigned long fired = sk->bss->fired;
	int err = bpf_prog_test_run_opts(prog_fd(name), &opts);

	if (err)
		die("test_run failed", name, err);
	if (!WAIT_UNTIL(sk->bss->fired != fired, 10))
		die("the callback did not run", name, 0);
	settle();
}

/* What the callback and, with trace, the tracepoints around it have seen. */
static __u32 marked(const char *what)
{
	if (!strcmp(what, "entry"))
		return sk->bss->mark_entry - sk->bss->mark_begin;
	if (!strcmp(what, "whole"))
		return sk->bss->mark_end - sk->bss->mark_begin;
	if (!strcmp(what, "function_entry"))
		return sk->bss->mark_entry - sk->bss->trace_begin;
	return sk->bss->trace_end - sk->bss->trace_begin;
}

static void run_fires(const struct operation *op)
{
	struct bpf_link *links[2] = {};
	int i;

	run(op->before, 1);
	settle();
	if (op->trace) {
		char name[64];

		for (i = 0; i < 2; i++) {
			snprintf(name, sizeof(name), "trace_%s_%s", op->trace,
				 i ? "after" : "before");
			links[i] = bpf_program__attach(
				bpf_object__find_program_by_name(sk->obj, name));
			if (!links[i])
				die("cannot attach", name, -errno);
		}
	}
	for (i = 0; i < FIRES; i++) {
		run_syscall(op->prog);
		values[i] = marked(op->mark);
	}
	for (i = 0; i < 2; i++)
		bpf_link__destroy(links[i]);
}

static int compare(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

struct result {
	int median, smallest;
	double mean;
};

static struct result result(__u32 n, int less)
{
	struct result r;
	double sum = 0;
	__u32 i;

	qsort(values, n, sizeof(*values), compare);
	for (i = 0; i < n; i++)
		sum += values[i];
	r.median = (int)values[n / 2] - less;
	r.smallest = (int)values[0] - less;
	r.mean = sum / n - less;
	return r;
}

/*
 * What the end of a map costs, for each of its timers: the last reference of
 * user space goes. The kernel has its ticks and grace periods meanwhile, so
 * that some of the objects are freed within this, and the number is not exact.
 */
static __u32 run_destroy(const struct operation *op)
{
	struct bench_bpf *old = sk;
	__u64 begin, end;
	int fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	sk = bench_bpf__open();
	if (!sk || bpf_map__set_max_entries(sk->maps.t_arr, op->elements) || bench_bpf__load(sk))
		die("cannot be loaded", "bench.bpf.o", -errno);
	run(op->before, op->elements);
	fd = bpf_map__fd(sk->maps.t_arr);
	settle();
	begin = count();
	dup2(null, fd);		/* in place of the map, which libbpf still closes */
	end = count();
	bench_bpf__destroy(sk);
	close(null);
	sk = old;
	settle();
	return (end - begin + op->elements / 2) / op->elements;
}

/* Twice: what is built or faulted in by the first run is not counted. */
static __u32 measure(const struct operation *op)
{
	__u32 n = op->elements ?: ELEMENTS, i;

	if (op->destroy) {
		__u32 each[DESTROYS];	/* values[] is used on the way */

		for (i = 0; i < DESTROYS; i++)
			each[i] = run_destroy(op);
		memcpy(values, each, sizeof(each));
		return DESTROYS;
	}
	if (op->mark) {
		run_fires(op);
		return FIRES;
	}
	for (i = 0; i < 2; i++) {
		if (op->before) {
			run(op->before, n);
			settle();
		}
		run(op->prog, n);
		settle();
	}
	return n;
}

static bool wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strncmp(name, argv[i], strlen(argv[i])))
			return true;
	return argc == 1;
}

static void loop(const char *name)
{
	const struct operation *op;

	for (op = ops; op->name; op++) {
		if (strcmp(op->name, name))
			continue;
		printf("looping\n");
		fflush(stdout);
		for (;;)
			measure(op);
	}
	die("no operation is called that", name, 0);
}

static void load(bool marking)
{
	sk = bench_bpf__open();
	if (sk)
		sk->rodata->marking = marking;
	if (!sk || bench_bpf__load(sk))
		die("cannot be loaded", "bench.bpf.o", -errno);
}

void count_main(int argc, char **argv)
{
	const struct operation empty = {}, *op;
	int any = 0;

	load(true);
	if (argc == 3 && !strcmp(argv[1], "--loop"))
		loop(argv[2]);
	for (op = ops; op->name; op++) {
		struct operation nothing = empty;
		struct result r;
		__u32 n;
		int less;

		if (!wanted(op->name, argc, argv))
			continue;
		any = 1;
		nothing.prog = op->base;
		less = result(measure(&nothing), 0).median;
		n = measure(op);
		r = result(n, less);
		printf("%s\t%d\t%d\t%.1f\t%u\t%s\t%s\t%s\n", op->name, r.median, r.smallest, r.mean,
		       n, op->about ? "about" : "exact", op->floor ?: "-", op->what);
		fflush(stdout);
	}
	if (!any)
		die("no operation is called that", argv[1], 0);
	bench_bpf__destroy(sk);
}

static void traced(const char *name, const char *prog)
{
	run(prog, FEW);
	settle();
	printf("run\t%s\t%d\n", name, FEW);
}

/*
 * For the plugin in trace/, which sees every instruction between two looks at
 * the counter but not what they are for: what was run, in order.
 */
void trace_main(void)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	const struct operation *op;
	int i;

	load(false);
	if (bpf_prog_test_run_opts(prog_fd("who"), &opts))
		die("test_run failed", "who", -errno);
	printf("task\t%llu\t%u\n", (unsigned long long)sk->bss->task, sk->bss->task_size);
	for (op = ops; op->name; op++) {
		if (op->destroy || op->mark || op->about)
			continue;
		for (i = 0; i < 2; i++) {
			if (op->before)
				traced("-", op->before);
			traced(i ? op->name : "-", op->prog);
		}
	}
	bench_bpf__destroy(sk);
}
