// SPDX-License-Identifier: GPL-2.0
/*
 * bpf_async_regress: the regression tests of bpf_timer and bpf_wq.
 *
 *	list			one line a case: name, own boot or shared, one thread
 *				of emulation or any, CPUs (0: any number from 4),
 *				command line, seconds, what the stock C kernel is
 *				known to say, what both are, what it is about;
 *				separated by tabs
 *	run [-s N] NAME...	run them; -s: seconds of those that take a length
 *
 * Prints KERNEL and which code this kernel has, c or rust. Then RUN, and PASS,
 * FAIL or SKIP for each, and marks the begin of each in the kernel's log, so
 * that a report there can be told to belong to a case.
 * After each case nothing may be left: programs, maps, objects.
 * Exit status: 0 all passed, 1 any failed, 2 wrong use, 4 any skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "regress.h"

static const struct test *const tables[] = {
	lifetime_tests, gaps_tests, freed_tests, semantics_tests, refs_tests, races_tests,
	waits_tests, lockup_tests, hrtimer_tests, many_tests, nmi_tests, flood_tests,
	meet_tests, past_tests, underlock_tests, renew_tests, inits_tests, tools_tests,
	traced_tests, small_tests, stale_tests, stress_tests,
};

static const struct test *running;
static char reason[512];
static bool skipped, cpu_lost;

const char *fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return reason;
}

const char *skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	skipped = true;
	return reason;
}

const char *lost(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	cpu_lost = true;
	return reason;
}

void needs_cpus(int n)
{
	if (n <= sysconf(_SC_NPROCESSORS_CONF))
		return;
	printf("SKIP %s: needs %d CPUs\n", running->name, n);
	fflush(stdout);
	_exit(4);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("     ");
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	va_end(ap);
}

const struct test *find_test(const char *name)
{
	const struct test *t;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (t = tables[i]; t->name; t++)
			if (!strcasecmp(t->name, name))
				return t;
	return NULL;
}

static int list(void)
{
	const struct test *t;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (t = tables[i]; t->name; t++)
			printf("%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", t->name,
			       t->own_boot ? "own" : "shared", t->one_thread ? "one" : "any",
			       t->cpus, t->append ? t->append : "-", t->seconds,
			       t->c_says ? t->c_says : "-", t->known ? t->known : "-", t->what);
	return 0;
}

static void mark(const char *name)
{
	char text[128];
	int fd = open("/dev/kmsg", O_WRONLY);

	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "bpf_async_regress: begin %s\n", name);
	if (write(fd, text, strlen(text)) < 0)
		perror("/dev/kmsg");
	close(fd);
}

/* The frees end in grace periods and work items: wait for them, bounded. */
const char *nothing_left(struct counts before)
{
	struct counts c = before;

#define SAME (c = count_all(), rcu_wait(), c.progs <= before.progs && \
	      c.maps <= before.maps && c.objects <= before.objects)
	if (!WAIT_UNTIL(SAME, 40))
		return fail("left behind: %d programs, %d maps, %ld objects",
			    c.progs - before.progs, c.maps - before.maps,
			    c.objects - before.objects);
	return NULL;
}

/* At once: what is in the way of an exit is in the way of a shutdown, too. */
static void end_machine(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	if (fd < 0 || write(fd, "b", 1) != 1)
		perror("/proc/sysrq-trigger");
}

static int run(const struct test *t, int seconds)
{
	struct counts before;
	const char *why, *left;
	char first[sizeof(reason)];

	printf("RUN  %s: %s\n", t->name, t->what);
	fflush(stdout);
	mark(t->name);
	running = t;
	skipped = false;
	if (t->append && !cmdline_has(t->append)) {
		printf("SKIP %s: the kernel was booted without %s\n", t->name, t->append);
		return 4;
	}
	before = count_all();
	why = t->run(seconds ? seconds : t->seconds);
	if (why) {
		snprintf(first, sizeof(first), "%s", why);
		printf("%s %s: %s\n", skipped ? "SKIP" : "FAIL", t->name, first);
		fflush(stdout);
		if (cpu_lost)
			end_machine();
		return skipped ? 4 : 1;
	}
	left = nothing_left(before);
	if (left)
		printf("FAIL %s: %s\n", t->name, left);
	else
		printf("PASS %s\n", t->name);
	fflush(stdout);
	return left ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: bpf_async_regress list | run [-s SECONDS] NAME...\n");
	return 2;
}

int main(int argc, char **argv)
{
	int i, status = 0, err, seconds = 0, first = 2;

	if (argc == 2 && !strcmp(argv[1], "list"))
		return list();
	if (argc < 3 || strcmp(argv[1], "run"))
		return usage();
	if (argc > 4 && !strcmp(argv[2], "-s")) {
		seconds = atoi(argv[3]);
		first = 4;
	}
	for (i = first; i < argc; i++)
		if (!find_test(argv[i])) {
			fprintf(stderr, "no case named %s; `list` shows them\n", argv[i]);
			return 2;
		}
	err = load_module();
	if (err) {
		fprintf(stderr, "cannot load bpf_async_test.ko: %s (root, and built for this kernel?)\n",
			strerror(-err));
		return 2;
	}
	printf("KERNEL %s\n", is_rust() ? "rust" : "c");
	for (i = first; i < argc; i++)
		status |= run(find_test(argv[i]), seconds);
	return status & 1 ? 1 : status;
}
