// SPDX-License-Identifier: GPL-2.0
/* Waiting for events, counting what is loaded, the test module's files. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/hw_breakpoint.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "regress.h"

#define DEBUGFS		"/sys/kernel/debug"
#define MODULE_DIR	DEBUGFS "/bpf_async_test/"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* MEMBARRIER_CMD_GLOBAL is synchronize_rcu() where there are two CPUs, and nothing on one. */
void rcu_wait(void)
{
	if (cpu_count() > 1)
		syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	else
		module_write("grace", "0");
}

void poll_pause(void)
{
	struct timespec t = { .tv_nsec = 200000 };

	nanosleep(&t, NULL);
}

static uint64_t coarse_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* That clock changes with a tick. */
void tick_wait(void)
{
	uint64_t seen;
	int i;

	for (i = 0; i < 2; i++)
		for (seen = coarse_ns(); coarse_ns() == seen;)
			poll_pause();
}

bool pin_cpu(int cpu)
{
	cpu_set_t set;

	needs_cpus(cpu + 1);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

pthread_t thread_on(int cpu, void *(*function)(void *), void *arg)
{
	pthread_attr_t attr;
	cpu_set_t set;
	pthread_t t;

	needs_cpus(cpu + 1);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_attr_init(&attr) ||
	    pthread_attr_setaffinity_np(&attr, sizeof(set), &set) ||
	    pthread_create(&t, &attr, function, arg))
		abort();
	pthread_attr_destroy(&attr);
	return t;
}

int cpu_count(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

static ssize_t read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	return n;
}

bool cmdline_has(const char *word)
{
	char text[4096];

	return read_text("/proc/cmdline", text, sizeof(text)) > 0 && strstr(text, word);
}

/* "BYTES CALLS FILE:LINE func:NAME": CALLS is the number of live objects. */
static long live_objects(void)
{
	FILE *f = fopen("/proc/allocinfo", "r");
	char line[512];
	long bytes, calls, sum = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, "func:bpf_map_kmalloc_nolock"))
			continue;
		if (sscanf(line, "%ld %ld", &bytes, &calls) == 2)
			sum = (sum < 0 ? 0 : sum) + calls;
	}
	fclose(f);
	return sum;
}

struct counts count_all(void)
{
	struct counts c = { .objects = live_objects() };
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id))
		c.progs++;
	id = 0;
	while (!bpf_map_get_next_id(id, &id))
		c.maps++;
	return c;
}

/* Without taking a reference, which would keep it alive. */
bool prog_exists(__u32 id)
{
	__u32 next;

	return !bpf_prog_get_next_id(id - 1, &next) && next == id;
}

bool map_exists(__u32 id)
{
	__u32 next;

	return !bpf_map_get_next_id(id - 1, &next) && next == id;
}

__u32 prog_id(int fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return bpf_prog_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

__u32 map_id(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return bpf_map_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

int run_prog(int fd, __u32 mark)
{
	static const char packet[64];
	struct __sk_buff ctx = { .mark = mark };
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = packet, .data_size_in = sizeof(packet),
		.ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
	int err = bpf_prog_test_run_opts(fd, &opts);

	return err ? err : (int)opts.retval;
}

int load_module(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *slash;
	int fd, err = 0;

	if (n < 0)
		return -errno;
	path[n] = 0;
	slash = strrchr(path, '/');
	strcpy(slash + 1, "bpf_async_test.ko");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(__NR_finit_module, fd, "", 0) && errno != EEXIST)
		err = -errno;
	close(fd);
	if (!err && access(MODULE_DIR, F_OK) &&
	    mount("debugfs", DEBUGFS, "debugfs", 0, NULL) && errno != EBUSY)
		err = -errno;
	return err;
}

/* hrtimer_setup() and INIT_WORK() tell debug objects, which take a lock. So in C. */
bool can_init_in_nmi(void)
{
	return access(DEBUGFS "/debug_objects/stats", F_OK);
}

int module_write(const char *file, const char *text)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), MODULE_DIR "%s", file);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

int module_read(const char *file, char *buf, size_t size)
{
	char path[128], *end;
	ssize_t n;

	snprintf(path, sizeof(path), MODULE_DIR "%s", file);
	n = read_text(path, buf, size);
	if (n < 0)
		return n;
	end = strchr(buf, '\n');
	if (end)
		*end = 0;
	return 0;
}

/* The functions of the kernel with these names, in this order; how many. */
int find_functions(const char *const *names, struct function *f, int max)
{
	struct function at, list[40] = {};
	int i, n = 0, which = -1;
	char line[1024], type;
	FILE *file = fopen("/proc/kallsyms", "r");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx %c %255s", &at.addr, &type, at.name) != 3)
			continue;
		if (which >= 0 && at.addr > list[which].addr) {
			list[which].size = at.addr - list[which].addr;
			which = -1;
		}
		for (i = 0; (type | 32) == 't' && names[i]; i++)
			if (!list[i].addr && !fnmatch(names[i], at.name, 0)) {
				list[i] = at;
				which = i;
			}
	}
	if (file)
		fclose(file);
	for (i = 0; names[i] && n < max; i++)
		if (list[i].size)
			f[n++] = list[i];
	return n;
}

struct bpf_link *break_at(struct bpf_program *p, uint64_t address, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .sample_period = 1,
		.bp_type = HW_BREAKPOINT_X, .bp_addr = address, .bp_len = sizeof(long),
	};
	int fd;

	needs_cpus(cpu + 1);
	fd = syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? NULL : bpf_program__attach_perf_event(p, fd);
}

bool is_rust(void)
{
	static const char *const names[] = { "bpf_async_irq_work", NULL };
	static int found = -1;
	struct function f;

	if (found < 0)
		found = find_functions(names, &f, 1);
	return found;
}

static const char *stall_file(int nr)
{
	static const char *const files[] = { "stall", "stall1", "stall2" };

	return files[nr];
}

int stall_at(int nr, const char *where, int cpu)
{
	char text[300];

	needs_cpus(cpu + 1);
	snprintf(text, sizeof(text), "%s %d", where, cpu);
	return module_write(stall_file(nr), text);
}

bool stalled_at(int nr)
{
	char text[32];

	return !module_read(stall_file(nr), text, sizeof(text)) && !strcmp(text, "stalled");
}

void stall_go(int nr)
{
	module_write(stall_file(nr), "go");
}

int stall_again(int nr)
{
	return module_write(stall_file(nr), "again");
}

void stall_end(int nr)
{
	module_write(stall_file(nr), "release");
}

const char *stall(const char *symbol, int cpu, unsigned long bits)
{
	char text[96];
	int err;

	snprintf(text, sizeof(text), "%s %d %lx", symbol, cpu, bits);
	err = module_write("stall", text);
	return err ? fail("cannot stall at %s: %d", symbol, err) : NULL;
}

bool stalled(void)
{
	return stalled_at(0);
}

void stall_release(void)
{
	stall_end(0);
}
