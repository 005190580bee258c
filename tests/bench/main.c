// SPDX-License-Identifier: GPL-2.0
/*
 * bpf_async_bench [NAME...]		instructions of the operations whose name begins so
 * bpf_async_bench --loop NAME		one operation over and over, for who looks on from outside
 * bpf_async_bench trace		every operation, for the plugin in trace/
 * bpf_async_bench memory		bytes for each timer, work item and deferred operation
 * bpf_async_bench scale N...		instructions and bytes for each of N timers in a hash map
 * bpf_async_bench load		throughput on several CPUs, and how late callbacks are
 *
 * Prints lines of fields, separated by tabs, for bench.py, which also says in
 * what a virtual machine: the counts are right only where the time stamp
 * counter counts instructions (-icount shift=0, one CPU).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader.h"

void die(const char *what, const char *name, long value)
{
	fprintf(stderr, "error: %s: %s (%ld)\n", name, what, value);
	exit(1);
}

void settle(void)
{
	usleep(200000);
}

static int load_bench_module(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 8);
	int fd, err = 0;

	if (n < 0)
		return -errno;
	strcpy(path + n, ".ko");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(__NR_finit_module, fd, "", 0) && errno != EEXIST)
		err = -errno;
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	int err = load_bench_module();

	if (err)
		die("cannot be loaded", "bpf_async_bench.ko", err);
	if (!strcmp(mode, "load")) {
		load_main();
		return 0;
	}
	pin_cpu(0);
	if (!strcmp(mode, "trace"))
		trace_main();
	else if (!strcmp(mode, "memory"))
		memory_main();
	else if (!strcmp(mode, "scale"))
		scale_main(argc, argv);
	else
		count_main(argc, argv);
	return 0;
}
