// SPDX-License-Identifier: GPL-2.0
#include <fnmatch.h>
#include <linux/hw_breakpoint.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "async_helpers.h"

#define DEBUGFS		"/sys/kernel/debug"
#define MODULE_DIR	DEBUGFS "/bpf_async_test/"

static ssize_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	n = n < 0 ? -errno : n;
	close(fd);
	if (n >= 0)
		text[n] = 0;
	return n;
}

/* It stays: what it holds somewhere may still be on its way out. */
static bool have_module(void)
{
	if (access(MODULE_DIR, F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	return !access(MODULE_DIR, F_OK) ||
	       ASSERT_OK(load_module("bpf_async_test.ko", false), "load bpf_async_test.ko");
}

/*
 * /proc/allocinfo: "BYTES CALLS FILE:LINE func:NAME", where CALLS are live objects.
 * Without CONFIG_MEM_ALLOC_PROFILING they cannot be counted, and programs and maps
 * are all that is looked for.
 */
static long live_objects(void)
{
	FILE *f = fopen("/proc/allocinfo", "r");
	long bytes, calls, sum = 0;
	char line[512];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "func:bpf_map_kmalloc_nolock") &&
		    sscanf(line, "%ld %ld", &bytes, &calls) == 2)
			sum += calls;
	fclose(f);
	return sum;
}

struct async_counts async_count(void)
{
	struct async_counts c = { .objects = live_objects() };
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id))
		c.progs++;
	id = 0;
	while (!bpf_map_get_next_id(id, &id))
		c.maps++;
	return c;
}

static bool no_more_than(const struct async_counts *before, struct async_counts *now)
{
	*now = async_count();
	return now->progs <= before->progs && now->maps <= before->maps &&
	       now->objects <= before->objects;
}

bool async_nothing_left(const struct async_counts *before)
{
	struct async_counts now;

	if (async_wait_rcu(no_more_than(before, &now)))
		return true;
	PRINT_FAIL("left behind: %d programs, %d maps, %ld objects\n",
		   now.progs - before->progs, now.maps - before->maps,
		   now.objects - before->objects);
	return false;
}

static bool has_failed(void)
{
	return env.test_state->error_cnt ||
	       (env.subtest_state && env.subtest_state->error_cnt);
}

static int expired_holds(void)
{
	char text[16];

	return async_read("expired", text, sizeof(text)) ? -1 : atoi(text);
}

/*
 * A hold in an interrupt may have interrupted another thread of this process in a
 * page fault, with the lock of a page table. The next page fault here would wait for
 * that lock until the hold ends by itself. With all memory locked there is none.
 */
static bool no_page_faults(void)
{
	return ASSERT_OK(mlockall(MCL_CURRENT | MCL_FUTURE), "lock the memory");
}

void async_test(void (*test)(void))
{
	struct async_counts before;
	int expired;

	if (!have_module() || !no_page_faults())
		return;
	expired = expired_holds();
	before = async_count();
	test();
	ASSERT_EQ(expired_holds(), expired, "holds that ended by themselves");
	if (!has_failed())
		async_nothing_left(&before);
}

bool async_needs_cpus(int n)
{
	if (async_nr_cpus() >= n)
		return true;
	printf("SKIP: needs %d CPUs\n", n);
	test__skip();
	return false;
}

bool async_needs_cmdline(const char *words)
{
	char text[4096], all[256], *word, *at = all;

	snprintf(all, sizeof(all), "%s", words);
	if (read_text("/proc/cmdline", text, sizeof(text)) > 0) {
		while ((word = strsep(&at, " ")) && strstr(text, word))
			;
		if (!word)
			return true;
	}
	printf("SKIP: the kernel was booted without %s\n", words);
	test__skip();
	return false;
}

bool async_sysctl(const char *path, const char *value, char *old, size_t size)
{
	return ASSERT_GT(read_text(path, old, size), 0, path) &&
	       ASSERT_GE(write_sysctl(path, value), 0, path);
}

void async_pause(void)
{
	struct timespec t = { .tv_nsec = 200000 };

	nanosleep(&t, NULL);
}

bool async_turn(struct async_wait *w, int turns)
{
	__u64 now = get_time_ns();

	if (!w->begun)
		w->begun = now;
	async_pause();
	return w->turns++ < turns || now - w->begun < ASYNC_WAIT_S * 1000000000ULL;
}

/* Not kern_sync_rcu(), which does nothing where there is one CPU. */
void async_sync_rcu(void)
{
	async_write("grace", "0");
}

static __u64 coarse_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* That clock changes with a tick. */
void async_tick(void)
{
	__u64 seen;
	int i;

	for (i = 0; i < 2; i++)
		for (seen = coarse_ns(); coarse_ns() == seen;)
			async_pause();
}

int async_nr_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

bool async_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return ASSERT_OK(sched_setaffinity(0, sizeof(set), &set), "pin to a CPU");
}

pthread_t async_thread(int cpu, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_attr_init(&attr) ||
	    pthread_attr_setaffinity_np(&attr, sizeof(set), &set) ||
	    pthread_create(&thread, &attr, fn, arg)) {
		PRINT_FAIL("no thread on CPU %d\n", cpu);
		fflush(stdout);
		abort();
	}
	pthread_attr_destroy(&attr);
	return thread;
}

bool async_prog_exists(__u32 id)
{
	__u32 next;

	return !bpf_prog_get_next_id(id - 1, &next) && next == id;
}

bool async_map_exists(__u32 id)
{
	__u32 next;

	return !bpf_map_get_next_id(id - 1, &next) && next == id;
}

__u32 async_prog_id(const struct bpf_program *prog)
{
	return id_from_prog_fd(bpf_program__fd(prog));
}

__u32 async_map_id(const struct bpf_map *map)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return ASSERT_OK(bpf_map_get_info_by_fd(bpf_map__fd(map), &info, &len), "map info") ?
	       info.id : 0;
}

int async_run(const struct bpf_program *prog, __u32 mark)
{
	static const char packet[64];
	struct __sk_buff ctx = { .mark = mark };
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = packet, .data_size_in = sizeof(packet),
		.ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
	int err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	return err ?: (int)opts.retval;
}

bool async_drop_map(const struct bpf_map *map, const struct bpf_map *other)
{
	int fd = bpf_map__fd(map);

	return ASSERT_EQ(dup2(bpf_map__fd(other), fd), fd, "close the map");
}

bool async_is_rust(void)
{
	unsigned long long addr;

	return !kallsyms_find("bpf_async_irq_work", &addr);
}

static bool kernel_is(const char *word)
{
	struct utsname name;

	uname(&name);
	return strstr(name.version, word);
}

bool async_can_init_in_nmi(void)
{
	return access(DEBUGFS "/debug_objects/stats", F_OK) && kernel_is("SMP");
}

bool async_can_init_atomic(void)
{
	return !kernel_is("PREEMPT_RT");
}

bool async_cancel_waits(void)
{
	return !kernel_is("PREEMPT_RT");
}

int async_write(const char *file, const char *text)
{
	char path[128];
	int fd, err;

	snprintf(path, sizeof(path), MODULE_DIR "%s", file);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int async_read(const char *file, char *text, size_t size)
{
	char path[128];
	ssize_t n;

	snprintf(path, sizeof(path), MODULE_DIR "%s", file);
	n = read_text(path, text, size);
	if (n < 0)
		return n;
	text[strcspn(text, "\n")] = 0;
	return 0;
}

static const char *stall_file(int nr)
{
	static const char *const files[] = { "stall", "stall1", "stall2" };

	return files[nr];
}

int async_stall(int nr, const char *where, int cpu)
{
	char text[300];

	snprintf(text, sizeof(text), "%s %d", where, cpu);
	return async_write(stall_file(nr), text);
}

int async_stall_args(const char *symbol, int cpu, unsigned long bits)
{
	char text[300];

	snprintf(text, sizeof(text), "%s %d %lx", symbol, cpu, bits);
	return async_write(stall_file(0), text);
}

bool async_stalled(int nr)
{
	char text[32];

	return !async_read(stall_file(nr), text, sizeof(text)) && !strcmp(text, "stalled");
}

void async_stall_go(int nr)
{
	async_write(stall_file(nr), "go");
}

int async_stall_again(int nr)
{
	return async_write(stall_file(nr), "again");
}

void async_stall_end(int nr)
{
	async_write(stall_file(nr), "release");
}

/* The middle of one; one of ftrace's; one that is too long, as only padding has it; some calls. */
bool async_no_place(int err)
{
	return err == -EILSEQ || err == -EINVAL || err == -ENOSPC || err == -EOPNOTSUPP;
}

int async_find_functions(const char *const *names, struct async_function *f, int max)
{
	struct async_function at, list[40] = {};
	int i, n = 0, which = -1;
	char line[1024], type;
	FILE *file = fopen("/proc/kallsyms", "r");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %c %255s", &at.addr, &type, at.name) != 3)
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

bool async_next_offset(struct async_sweep *s)
{
	const unsigned int step = 7919;	/* a prime, larger than any of the functions */
	const unsigned int first = 32;	/* the begin of the function, where no read side is yet */

	s->offset = s->n < first ? s->n % s->f->size : (s->n - first) * step % s->f->size;
	return s->n++ < s->f->size + first;
}

struct bpf_link *async_break_at(struct bpf_program *prog, __u64 addr, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .sample_period = 1,
		.bp_type = HW_BREAKPOINT_X, .bp_addr = addr, .bp_len = sizeof(long),
	};
	int fd = syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	if (!ASSERT_OK_FD(fd, "hardware breakpoint"))
		return NULL;
	return bpf_program__attach_perf_event(prog, fd);
}
