// SPDX-License-Identifier: GPL-2.0
/*
 * The stress: see progs/async_stress.c. In each round two instances of the
 * programs run on all CPUs, over maps of their own, while others (guests) come
 * and go: they leave their callbacks behind, and each brings an inner map that
 * another one's takes the place of. ASYNC_SECONDS says how long at least, and
 * ASYNC_SEED repeats a load; round n has the seed + n.
 */
#include <sys/resource.h>

#include "async_helpers.h"
#include "progs/async_stress.h"
#include "async_stress.skel.h"

#define SECONDS		60
#define ROUND		5	/* seconds with one set of maps; more where loading is slow */
#define ROUNDS		100	/* after which all must have been done once */
#define THREADS		8	/* two a CPU where there are four */

static const char *const kinds[KINDS + 1] = {
	"init", "set_callback", "start", "cancel", "cancel_async", "wq init",
	"wq set_callback", "wq start", "lookup", "update", "delete", "callback",
};
static const char *const wheres[WHERES] = { "task", "softirq", "work", "IRQs off", "NMI" };
static const char *const maps[MAPS] = { "array", "hash", "LRU hash", "map in map" };
static const char *const wrongs[WRONGS] = {
	"the canary before a value is", "the canary after a value is",
	"a callback runs in a program whose memory says it is",
	"the context is", "the answer is",
};

struct run {
	struct async_stress *shared;	/* only its totals are used */
	struct async_stress *inst[2];
	volatile bool stop;
	unsigned long identities, guests;
};

struct thread {
	pthread_t id;
	struct run *run;
	__u64 seed;
	const struct bpf_program *prog;
	int cpu, err;
};

static struct totals *totals(const struct run *r)
{
	return &r->shared->data_shared->totals;
}

static __u64 mix(__u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* A hash gets new memory by an irq_work; where that has no interrupt, by the next tick. */
static int fill(struct bpf_map *map, enum which which)
{
	__u64 value[6] = {};	/* struct elem */
	int key, err = 0;

	for (key = 0; key < ELEMS && !err; key++) {
		value[0] = HEAD(which, key);
		value[5] = ~HEAD(which, key);
		err = bpf_map__update_elem(map, &key, sizeof(key), value, sizeof(value), 0);
		if (err == -ENOMEM) {
			async_tick();
			err = bpf_map__update_elem(map, &key, sizeof(key), value, sizeof(value), 0);
		}
	}
	return err;
}

/* With the totals of all; with the maps of another instance, or new ones. */
static int share(struct async_stress *skel, const struct run *r, struct async_stress *from)
{
	int err = bpf_map__reuse_fd(skel->maps.data_shared, bpf_map__fd(r->shared->maps.data_shared));

	if (err || !from)
		return err;
	return bpf_map__reuse_fd(skel->maps.s_array, bpf_map__fd(from->maps.s_array)) ?:
	       bpf_map__reuse_fd(skel->maps.s_hash, bpf_map__fd(from->maps.s_hash)) ?:
	       bpf_map__reuse_fd(skel->maps.s_lru, bpf_map__fd(from->maps.s_lru)) ?:
	       bpf_map__reuse_fd(skel->maps.s_outer, bpf_map__fd(from->maps.s_outer));
}

static struct async_stress *load(struct run *r, struct async_stress *from, __u64 seed, bool guest)
{
	struct async_stress *skel = async_stress__open();
	int i, err;

	if (!skel)
		return NULL;
	skel->rodata->me = skel->bss->identity = mix(seed + ++r->identities);
	for (i = 0; i < MAX_CPUS * WHERES; i++)
		skel->bss->seeds[i] = mix(skel->bss->identity + i) | 1;
	skel->rodata->nmi_init = async_can_init_in_nmi();
	skel->rodata->cancel_waits = async_cancel_waits();
	skel->rodata->defer_allocates = !async_is_rust();
	skel->rodata->elems = 1 + mix(seed) % ELEMS;
	bpf_program__set_autoload(skel->progs.visit, guest);
	bpf_program__set_autoload(skel->progs.stress, !guest);
	bpf_program__set_autoload(skel->progs.stress_nmi, !guest);
	err = share(skel, r, from) ?: async_stress__load(skel);
	if (!err && !from)
		err = fill(skel->maps.s_array, M_ARRAY) ?: fill(skel->maps.s_hash, M_HASH) ?:
		      fill(skel->maps.s_lru, M_LRU);
	err = err ?: fill(skel->maps.s_inner, M_INNER);
	if (!err && !guest)
		err = async_stress__attach(skel);
	if (!err)
		return skel;
	async_stress__destroy(skel);
	return NULL;
}

static void *hammer(void *arg)
{
	struct thread *t = arg;
	unsigned long n;

	async_pin(t->cpu);
	setpriority(PRIO_PROCESS, 0, 10);	/* of this thread: guests are slow to load */
	for (n = 0; !t->run->stop && !t->err; n++)
		t->err = async_run(t->prog, n & 1);
	return NULL;
}

/* Instances that come and go, and inner maps with them. */
static void *guests(void *arg)
{
	struct thread *t = arg;
	struct run *r = t->run;
	int outer = bpf_map__fd(r->inst[0]->maps.s_outer), inner, slot, i, n;
	struct async_stress *skel;
	__u64 dice;

	while (!r->stop && !t->err) {
		dice = mix(t->seed++);
		slot = dice % OUTER;
		skel = load(r, r->inst[0], dice, true);
		if (!skel) {
			t->err = -1;
			break;
		}
		inner = bpf_map__fd(skel->maps.s_inner);
		t->err = bpf_map_update_elem(outer, &slot, &inner, 0);
		n = (dice >> 8) & 31;
		for (i = 0; i < n && !r->stop && !t->err; i++)
			t->err = async_run(skel->progs.visit, 0);
		/* Now it goes, or when its place is taken, or with the outer map. */
		if (!((dice >> 16) & 3))
			bpf_map_delete_elem(outer, &slot);
		async_stress__destroy(skel);
		r->guests++;
	}
	return NULL;
}

static bool nothing_wrong(struct totals *s)
{
	int i;

	for (i = 0; i < WRONGS; i++)
		if (s->wrong[i])
			return false;
	return true;
}

static bool say_what_is_wrong(struct totals *s)
{
	int i;

	for (i = 0; i < WRONGS; i++)
		if (s->wrong[i])
			PRINT_FAIL("%s %#llx (%s, %s; %llu times)\n", wrongs[i], s->value[i],
				   kinds[s->kind[i]], wheres[s->where[i]], s->wrong[i]);
	return !nothing_wrong(s);
}

static bool one_round(struct run *r, __u64 seed, __u64 end)
{
	struct async_counts before = async_count();
	__u64 begun = get_time_ns(), least, until;
	struct thread t[THREADS + 1] = {};
	int i, started = 0;
	bool ok = false;

	r->stop = false;
	r->inst[1] = NULL;
	r->inst[0] = load(r, NULL, seed, false);
	if (!ASSERT_OK_PTR(r->inst[0], "load"))
		goto out;
	r->inst[1] = load(r, r->inst[0], seed, false);
	if (!ASSERT_OK_PTR(r->inst[1], "load again"))
		goto out;
	for (i = 0; i <= THREADS; i++, started++) {
		t[i] = (struct thread){ .run = r, .cpu = i / 2 % async_nr_cpus(), .seed = mix(seed) };
		t[i].prog = r->inst[i & 1]->progs.stress;
		if (!ASSERT_OK(pthread_create(&t[i].id, NULL, i < THREADS ? hammer : guests, &t[i]),
			       "pthread_create"))
			goto out;
	}
	/* As long as it took to load, and a ROUND at least, also when the time is up. */
	least = get_time_ns() + ROUND * 1000000000ULL;
	until = least + (get_time_ns() - begun);
	if (until > end)
		until = end > least ? end : least;
	while (get_time_ns() < until && nothing_wrong(totals(r)))
		async_pause();
	ok = true;
out:
	r->stop = true;
	for (i = 0; i < started; i++) {
		pthread_join(t[i].id, NULL);
		ok &= ASSERT_OK(t[i].err, i < THREADS ? "test_run" : "a guest");
	}
	/* What is armed, pending or running goes with them, and is still checked. */
	async_stress__destroy(r->inst[0]);
	async_stress__destroy(r->inst[1]);
	if (ok)
		ok = async_nothing_left(&before);
	return !say_what_is_wrong(totals(r)) && ok;
}

/* What was never done, or NULL. */
static const char *missing(const struct run *r)
{
	const struct totals *s = totals(r);
	static char text[100];
	int kind, where, i;

	for (kind = 0; kind < KINDS; kind++)
		for (where = 0; where < WHERES; where++)
			if (!s->done[where * KINDS + kind] &&
			    (where != W_NMI || async_can_init_in_nmi() ||
			     (kind != K_T_INIT && kind != K_W_INIT))) {
				snprintf(text, sizeof(text), "%s: %s", kinds[kind], wheres[where]);
				return text;
			}
	for (i = 0; i < MAPS; i++)
		if (!s->on_map[i])
			return maps[i];
	if (!s->timers || !s->works || !s->slept)
		return "a kind of callback";
	return r->guests ? NULL : "programs that come and go";
}

static void table(const struct totals *s)
{
	int kind, i;

	printf("%-16s %10s %10s %10s %10s %10s\n", "", wheres[0], wheres[1], wheres[2], wheres[3],
	       wheres[4]);
	for (kind = 0; kind < KINDS; kind++) {
		const __u64 *n = &s->done[kind];

		printf("%-16s %10llu %10llu %10llu %10llu %10llu\n", kinds[kind], n[0], n[KINDS],
		       n[2 * KINDS], n[3 * KINDS], n[4 * KINDS]);
	}
	for (i = 0; i < MAPS; i++)
		printf("%-16s %10llu\n", maps[i], s->on_map[i]);
	if (!async_can_init_in_nmi())
		printf("init in an NMI is left out: the kernel's debug objects take a lock in it\n");
	printf("callbacks: timers %llu, works %llu, of which slept %llu\n", s->timers, s->works,
	       s->slept);
}

static unsigned long long operations(const struct totals *s)
{
	unsigned long long n = 0;
	int i;

	for (i = 0; i < WHERES * KINDS; i++)
		n += s->done[i];
	return n;
}

static void stress(void)
{
	const char *seconds = getenv("ASYNC_SECONDS"), *text = getenv("ASYNC_SEED"), *never;
	int length = seconds ? atoi(seconds) : SECONDS, round = 0;
	__u64 start = get_time_ns(), end = start + length * 1000000000ULL;
	__u64 seed = text ? strtoull(text, NULL, 0) : mix(start) >> 32;
	struct run r = { .shared = async_stress__open() };
	bool ok = true;

	if (!ASSERT_OK_PTR(r.shared, "open"))
		return;
	bpf_program__set_autoload(r.shared->progs.visit, false);
	bpf_program__set_autoload(r.shared->progs.stress, false);
	bpf_program__set_autoload(r.shared->progs.stress_nmi, false);
	if (!ASSERT_OK(async_stress__load(r.shared), "load the maps"))
		goto out;
	printf("seed %llu, %d CPUs, %d s, objects counted: %s\n", seed, async_nr_cpus(), length,
	       access("/proc/allocinfo", F_OK) ? "no (no CONFIG_MEM_ALLOC_PROFILING)" : "yes");
	/* On a slow machine longer, until all was done once. */
	while (ok && (get_time_ns() < end || (missing(&r) && round < ROUNDS))) {
		ok = one_round(&r, seed + round++, end);
		printf("%3d s: round %d, %llu operations, %llu callbacks, %lu guests\n",
		       (int)((get_time_ns() - start) / 1000000000), round, operations(totals(&r)),
		       totals(&r)->timers + totals(&r)->works, r.guests);
	}
	table(totals(&r));
	never = missing(&r);
	if (!ok)
		printf("the load of this round begins with SEED=%llu\n", seed + round - 1);
	else if (never)
		PRINT_FAIL("never done: %s\n", never);
out:
	async_stress__destroy(r.shared);
}

void serial_test_async_stress(void)
{
	if (async_needs_cmdline("init_on_free=1"))
		async_test(stress);
}
