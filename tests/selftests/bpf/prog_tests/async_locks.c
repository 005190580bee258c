// SPDX-License-Identifier: GPL-2.0
/* Nothing may hang, wherever the call comes from: H10 to H14, H29. */
#include "async_helpers.h"
#include "cgroup_helpers.h"
#include "async_locks.skel.h"

#define CHAIN_LIMIT	1000
#define PHASES		12
#define SWITCHES	4000	/* of tasks, in each phase */
#define ELEMENTS	100	/* that must have come and gone under the run queue's lock */
#define PATIENCE	10	/* times as many phases, until they have */

/* The same in progs/async_locks.c. */
enum { MODE_OFF, SAME, PAIR, RQ_LOCK, CALL_RCU, DYING, DRAIN };
#define FIRST_LATE	8
#define LATE		32

/* Only what the test needs is attached: no other text is patched. */
static struct async_locks *load(__u32 mode)
{
	static const char *const names[] = { [SAME] = "start_", [PAIR] = "start_",
		[RQ_LOCK] = "rq_", [CALL_RCU] = "rcu_", [DYING] = "cpu_",
		[DRAIN] = "drain_" };
	struct async_locks *skel = async_locks__open();
	struct bpf_program *p;

	if (!ASSERT_OK_PTR(skel, "open"))
		return NULL;
	bpf_object__for_each_program(p, skel->obj) {
		const char *name = bpf_program__name(p);

		bpf_program__set_autoattach(p, strstr(name, names[mode]) == name);
		/* Where no CPU can go down there are none of these functions. */
		if (strstr(name, names[DYING]) == name)
			bpf_program__set_autoload(p, mode == DYING);
	}
	if (ASSERT_OK(async_locks__load(skel), "load") &&
	    ASSERT_OK(async_locks__attach(skel), "attach"))
		return skel;
	async_locks__destroy(skel);
	return NULL;
}

static int run(struct async_locks *skel, struct bpf_program *p, __u32 mark)
{
	async_run(p, mark);
	return skel->bss->last_ret;
}

/*
 * Start from inside hrtimer_start(), the same timer or two in turn, or both where a drain
 * begins.
 */
static void start_in_start(__u32 mode)
{
	static const char *const begins[] = { "llist_reverse_order", NULL };
	struct async_locks *skel = load(mode);
	struct async_function f;
	int i;

	if (!skel)
		return;
	async_pin(0);
	if (mode == DRAIN) {
		if (!ASSERT_GT(async_find_functions(begins, &f, 1), 0, begins[0]))
			goto out;
		skel->links.drain_begins = async_break_at(skel->progs.drain_begins, f.addr, 0);
		if (!ASSERT_OK_PTR(skel->links.drain_begins, "attach"))
			goto out;
	}
	if (!ASSERT_OK(run(skel, skel->progs.start, 0), "start") ||
	    !ASSERT_OK(run(skel, skel->progs.start, 1), "start"))
		goto out;
	skel->bss->on = mode;
	for (i = 0; i < 2; i++)
		run(skel, mode == DRAIN ? skel->progs.start_irqs_off : skel->progs.start, i);
	/* Without an irq_work interrupt a tick drains. */
	if (mode == DRAIN)
		async_wait(skel->bss->hits);
	skel->bss->on = MODE_OFF;
	printf("%lu starts seen, %lu caused\n", skel->bss->hits, skel->bss->chain);
	if (!ASSERT_GT(skel->bss->hits, 0, "the program that starts runs") ||
	    !ASSERT_LT(skel->bss->chain, CHAIN_LIMIT, "starts that other starts caused"))
		goto out;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(run(skel, skel->progs.is_armed, i), 1, "the timer is armed");
out:
	async_locks__destroy(skel);
}

static void start_in_own_start(void)
{
	start_in_start(SAME);
}

void serial_test_timer_start_in_own_start(void)
{
	async_test(start_in_own_start);
}

static void start_pair(void)
{
	start_in_start(PAIR);
}

void serial_test_timer_start_pair(void)
{
	async_test(start_pair);
}

static void start_at_drain(void)
{
	start_in_start(DRAIN);
}

void serial_test_timer_start_at_drain(void)
{
	async_test(start_at_drain);
}

static bool put_text(int dir, const char *file, const char *text, int flags)
{
	int fd = openat(dir, file, O_WRONLY | flags);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/*
 * No page more for the cgroup, or as many as it wants. memory.high gives back
 * what CPUs have in stock; without waiting, memory.max does not kill for it.
 */
static bool set_full(int cgroup, bool full)
{
	return put_text(cgroup, "memory.high", "0", 0) &&
	       put_text(cgroup, "memory.high", "max", 0) &&
	       put_text(cgroup, "memory.max", full ? "0" : "max", O_NONBLOCK);
}

/* Elements come and go in sched_switch, where the run queue is locked. */
static void under_rq_lock(int cgroup)
{
	struct async_locks *skel = load(RQ_LOCK);
	bool events = cgroup >= 0, full = events, shown = false, atomic = async_can_init_atomic();
	__u64 switches;
	int i;

	if (!skel)
		return;
	/* The maps stay charged to the cgroup, and nothing else is. */
	if (events && !ASSERT_OK(join_root_cgroup(), "leave the cgroup"))
		goto out;
	skel->bss->on = RQ_LOCK;
	for (i = 0; i < PHASES || (!shown && i < PHASES * PATIENCE); i++, full = events && !full) {
		if (events && !ASSERT_TRUE(set_full(cgroup, full), "set memory.max"))
			goto out;
		switches = skel->bss->hits + SWITCHES;
		if (!ASSERT_TRUE(async_wait((async_sync_rcu(), skel->bss->hits >= switches)),
				 "tasks are switched"))
			goto out;
		shown = atomic ? skel->bss->frees > ELEMENTS && (!events || skel->bss->over_max) :
				 skel->bss->refused > ELEMENTS;
	}
	skel->bss->on = MODE_OFF;
	printf("%lu elements in %lu switches, %lu refused, %lu by memory.max\n",
	       skel->bss->frees, skel->bss->hits, skel->bss->refused, skel->bss->over_max);
	if (atomic)
		ASSERT_GT(skel->bss->frees, ELEMENTS, "elements that came and went");
	else if (ASSERT_EQ(skel->bss->frees, 0, "elements that came and went"))
		ASSERT_GT(skel->bss->refused, ELEMENTS, "inits that were refused");
	if (!ASSERT_EQ(skel->bss->others, 0, "neither 0 nor -ENOMEM under the lock"))
		printf("the last one %d\n", skel->bss->last_ret);
	ASSERT_EQ(skel->bss->notified, 0, "events under the lock that took locks");
	if (events && atomic)
		ASSERT_GT(skel->bss->over_max, 0, "memory.max was hit under the lock");
out:
	async_locks__destroy(skel);
}

static void rq_lock(void)
{
	under_rq_lock(-1);
}

void serial_test_async_rq_lock(void)
{
	async_test(rq_lock);
}

static void rq_lock_memcg(void)
{
	int cgroup;

	if (!ASSERT_OK(setup_cgroup_environment(), "setup_cgroup_environment"))
		return;
	cgroup = create_and_get_cgroup("/async");
	if (ASSERT_OK_FD(cgroup, "create_and_get_cgroup") &&
	    ASSERT_OK(join_cgroup("/async"), "join_cgroup"))
		under_rq_lock(cgroup);
	join_root_cgroup();
	close(cgroup);
	cleanup_cgroup_environment();
}

void serial_test_async_rq_lock_memcg(void)
{
	async_test(rq_lock_memcg);
}

/* Freeing one element calls call_rcu(); inside that another one is freed. */
static void free_in_call_rcu(void)
{
	struct async_locks *skel = load(CALL_RCU);
	char zero[64] = {};
	int round, key = 3;

	if (!skel)
		return;
	async_pin(0);	/* the program takes the element of its CPU's number */
	skel->bss->on = CALL_RCU;
	for (round = 1; round <= 50; round++) {
		if (!ASSERT_OK(run(skel, skel->progs.start, key), "start") ||
		    !ASSERT_OK(run(skel, skel->progs.start, 0), "start"))
			break;
		skel->bss->budget = 1;
		if (!ASSERT_OK(bpf_map__update_elem(skel->maps.locked, &key, sizeof(key), zero,
						    bpf_map__value_size(skel->maps.locked), 0),
			       "update") ||
		    !ASSERT_TRUE(async_wait(skel->bss->frees == round),
				 "freed inside of call_rcu()") ||
		    !ASSERT_EQ(skel->bss->nested, 0, "call_rcu() inside of call_rcu()") ||
		    !ASSERT_TRUE(async_wait(skel->bss->freed == round), "the object is freed") ||
		    !ASSERT_EQ(skel->bss->retired, round, "objects that were given to RCU"))
			break;
	}
	skel->bss->on = MODE_OFF;
	async_locks__destroy(skel);
}

void serial_test_timer_free_in_call_rcu(void)
{
	async_test(free_in_call_rcu);
}

static int online(int cpu, const char *value)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	err = write(fd, value, 1) == 1 ? 0 : -errno;
	close(fd);
	return err;
}

/* Of the late timers exactly these are armed; they are not afterwards. */
static bool late_armed(struct async_locks *skel, __u32 from, __u32 to, const char *performed)
{
	__u32 i;

	for (i = 0; i < LATE; i++) {
		bool due = i >= from && i < to;

		if (!ASSERT_EQ(run(skel, skel->progs.is_armed, FIRST_LATE + i), due,
			       due ? performed : "start that was not queued")) {
			printf("start %u of %u\n", i + 1, to);
			return false;
		}
	}
	return true;
}

/* Load a program that only a timer has a reference to, in element key; its id. */
static __u32 prog_of_timer(struct async_locks *skel, __u32 key)
{
	struct async_locks *other = async_locks__open();
	struct bpf_program *p;
	__u32 id = 0;

	if (!ASSERT_OK_PTR(other, "open"))
		return 0;
	bpf_object__for_each_program(p, other->obj)
		bpf_program__set_autoload(p, p == other->progs.start_hash);
	if (ASSERT_OK(bpf_map__reuse_fd(other->maps.locked_hash,
					bpf_map__fd(skel->maps.locked_hash)), "reuse_fd") &&
	    ASSERT_OK(async_locks__load(other), "load") &&
	    ASSERT_OK(run(other, other->progs.start_hash, key), "start"))
		id = async_prog_id(other->progs.start_hash);
	async_locks__destroy(other);
	async_sync_rcu();
	return id;
}

/* A CPU goes and comes back while operations are queued on it that no irq_work performs. */
static void hotplug_stranded(void)
{
	struct async_locks *skel = load(DYING);
	__u32 i, down, up, progs[2];
	__u64 fired;

	if (!skel)
		return;
	async_pin(0);
	if (!ASSERT_OK(run(skel, skel->progs.start, 3), "start"))
		goto out;
	for (i = FIRST_LATE; i < FIRST_LATE + LATE; i++)
		if (!ASSERT_OK(run(skel, skel->progs.start, i), "start") ||
		    !ASSERT_EQ(run(skel, skel->progs.is_armed, i), 1, "the timer is armed"))
			goto out;
	for (i = 0; i < 2; i++) {
		progs[i] = prog_of_timer(skel, i);
		if (!progs[i] || !ASSERT_TRUE(async_prog_exists(progs[i]), "the program is there"))
			goto out;
	}
	skel->bss->cpu_only = 1;
	skel->bss->on = DYING;
	if (!ASSERT_OK(online(1, "0"), "take CPU 1 down"))
		goto out;
	down = skel->bss->queued;
	if (!ASSERT_GT(down, 0, "starts on the CPU that goes") ||
	    !late_armed(skel, 0, down, "the CPU is dead: a start is performed") ||
	    !ASSERT_TRUE(async_wait_rcu(!async_prog_exists(progs[0])),
			 "the CPU is dead: a program is put") ||
	    !ASSERT_TRUE(async_prog_exists(progs[1]), "the other program is there") ||
	    !ASSERT_OK(online(1, "1"), "take CPU 1 up"))
		goto out;
	skel->bss->on = MODE_OFF;
	if (!ASSERT_TRUE(async_wait_rcu(!async_prog_exists(progs[1])),
			 "the CPU is back: a program is put"))
		goto out;
	up = skel->bss->queued;
	printf("%u starts queued on the dying CPU, %u on the one that came up\n", down, up - down);
	if (!ASSERT_EQ(skel->bss->hits, up, "starts that were queued") ||
	    !ASSERT_GT(up, down, "starts on the CPU that comes") ||
	    !late_armed(skel, down, up, "the CPU is back: a start is performed"))
		goto out;
	async_pin(1);
	fired = skel->bss->fired;
	if (ASSERT_OK(run(skel, skel->progs.start_irqs_off, 3), "start with IRQs off"))
		ASSERT_TRUE(async_wait(skel->bss->fired > fired),
			    "an operation is deferred on the CPU that came back");
out:
	skel->bss->on = MODE_OFF;
	online(1, "1");
	/* If the ring buffer's irq_work is left, its map waits for it: going down runs it. */
	online(1, "0");
	online(1, "1");
	async_locks__destroy(skel);
}

void serial_test_timer_hotplug_stranded(void)
{
	if (async_needs_cpus(2))
		async_test(hotplug_stranded);
}
