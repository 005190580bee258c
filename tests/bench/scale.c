// SPDX-License-Identifier: GPL-2.0
/* Many timers and work items: bytes and instructions for each. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "loader.h"
#include "scale.skel.h"

#define BATCH		1000	/* keys of one program */
#define AHEAD_NS	5000	/* how long arming one takes at most, in instructions */

static struct scale_bpf *sk;

static void load(struct bpf_map *(*which)(void), __u32 entries)
{
	sk = scale_bpf__open();
	if (!sk || bpf_map__set_max_entries(which(), entries) || scale_bpf__load(sk))
		die("cannot be loaded", "scale.bpf.o", -errno);
}

static struct bpf_map *t_hash(void) { return sk->maps.t_hash; }
static struct bpf_map *t_arr(void) { return sk->maps.t_arr; }
static struct bpf_map *w_arr(void) { return sk->maps.w_arr; }

static void checked(const char *what, int err)
{
	if (err)
		die("test_run failed", what, err);
	if (sk->bss->wrong)
		die("the operation failed for some", what, sk->bss->wrong);
}

/* Instructions that a program took for n keys, in batches. */
static double run_all(struct bpf_program *prog, __u32 n)
{
	sk->bss->spent = 0;
	for (sk->bss->first = 0; sk->bss->first < n; sk->bss->first += BATCH) {
		sk->bss->number = n - sk->bss->first < BATCH ? n - sk->bss->first : BATCH;
		checked(bpf_program__name(prog), run_prog(bpf_program__fd(prog), 0));
	}
	return sk->bss->spent;
}

static void run_syscall(struct bpf_program *prog)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	checked(bpf_program__name(prog), bpf_prog_test_run_opts(bpf_program__fd(prog), &opts));
}

static __s64 slab(void)
{
	run_syscall(sk->progs.slab);
	return sk->bss->bytes;
}

static void sleep_until(__u64 ns)
{
	struct timespec t = { ns / 1000000000, ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void line(__u32 n, const char *what, double value)
{
	printf("%u\t%s\t%.1f\n", n, what, value);
	fflush(stdout);
}

/* Insert, arm and let fire n timers. Lines about it the first time. */
static void fill(__u32 n, double nothing, bool report)
{
	double inserted = run_all(sk->progs.t_insert, n) - nothing, armed;
	__s64 before = slab(), after;

	sk->bss->expiry = now_ns() + (__u64)n * AHEAD_NS + 10 * SPREAD_NS;
	armed = run_all(sk->progs.t_arm, n) - nothing;
	after = slab();
	if (now_ns() > sk->bss->expiry - 2 * SPREAD_NS)
		die("arming took too long", "scale", n);
	sk->bss->fired = 0;
	sleep_until(sk->bss->expiry - 2 * SPREAD_NS);
	run_syscall(sk->progs.t_fire);
	/* Those few whose expiry the softirq did not see: at the next interrupt. */
	if (sk->bss->fired + n / 100 < n || !WAIT_UNTIL(sk->bss->fired == n, 10))
		die("not all fired", "scale", sk->bss->fired);
	if (!report)
		return;
	line(n, "insert", inserted / n);
	line(n, "arm", armed / n);
	line(n, "bytes", (double)(after - before) / n);
	line(n, "fire", (double)sk->bss->spent / n);
}

static void scale(__u32 n)
{
	int fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	double nothing, deleted;
	__u64 begin, end;
	__s64 before;

	load(t_hash, n);
	fd = bpf_map__fd(sk->maps.t_hash);
	before = slab();
	nothing = run_all(sk->progs.nothing, n);
	fill(n, nothing, true);
	deleted = run_all(sk->progs.t_delete, n) - nothing;
	line(n, "delete", deleted / n);
	/* After their grace periods; a little stays behind in slabs that are not empty. */
	if (!WAIT_UNTIL(slab() - before < 8 * (__s64)n + (1 << 20), 60))
		die("the slabs of deleted timers do not come back, bytes", "scale", slab() - before);
	fill(n, nothing, false);
	begin = count();
	dup2(null, fd);		/* the last reference of user space */
	end = count();
	line(n, "destroy", (double)(end - begin) / n);
	scale_bpf__destroy(sk);
	close(null);
	settle();
}

void scale_main(int argc, char **argv)
{
	int i;

	for (i = 2; i < argc; i++)
		scale(strtoul(argv[i], NULL, 0));
}

static void objects(const char *what, struct bpf_map *(*map)(void), bool timers)
{
	__s64 before;

	load(map, MANY);
	settle();
	before = slab();
	run_all(timers ? sk->progs.t_init : sk->progs.w_init, MANY);
	printf("%s\t%.1f\n", what, (double)(slab() - before) / MANY);
	if (timers) {
		sk->bss->number = MANY;
		checked("t_defer", run_prog(bpf_program__fd(sk->progs.t_defer), 0));
		printf("deferred\t%.1f\n", (double)sk->bss->bytes / MANY);
	}
	scale_bpf__destroy(sk);
	settle();
}

void memory_main(void)
{
	objects("timer", t_arr, true);
	objects("wq", w_arr, false);
}
