// SPDX-License-Identifier: GPL-2.0
/*
 * The stress: see stress.bpf.c. In each round two instances of the programs run
 * on all CPUs, over maps of their own, while others (guests) come and go: they
 * leave their callbacks behind, and each brings an inner map that another one's
 * takes the place of. REGRESS_SEED repeats a load; round n has the seed + n.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "stress.h"
#include "stress.skel.h"

#define ROUND		5	/* seconds with one set of maps; more where loading is slow */
#define PATIENCE	2	/* times as long, until all was done once */
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
	struct stress_bpf *shared;	/* only its totals are used */
	struct stress_bpf *inst[2];
	volatile bool stop;
	unsigned long identities, guests;
};

struct thread {
	pthread_t id;
	struct run *run;
	uint64_t seed;
	int cpu, fd, err;
};

static struct totals *totals(const struct run *r)
{
	return &r->shared->data_shared->totals;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* A hash gets new memory by an irq_work; where that has no interrupt, by the next tick. */
static int fill(struct bpf_map *map, enum which which)
{
	u64 value[6] = {};	/* struct elem */
	int key, err = 0;

	for (key = 0; key < ELEMS && !err; key++) {
		value[0] = HEAD(which, key);
		value[5] = ~HEAD(which, key);
		err = bpf_map__update_elem(map, &key, sizeof(key), value, sizeof(value), 0);
		if (err == -ENOMEM) {
			tick_wait();
			err = bpf_map__update_elem(map, &key, sizeof(key), value, sizeof(value), 0);
		}
	}
	return err;
}

/* With the totals of all; with the maps of another instance, or new ones. */
static int share(struct stress_bpf *sk, const struct run *r, struct stress_bpf *from)
{
	int err = bpf_map__reuse_fd(sk->maps.data_shared, bpf_map__fd(r->shared->maps.data_shared));

	if (err || !from)
		return err;
	return bpf_map__reuse_fd(sk->maps.s_array, bpf_map__fd(from->maps.s_array)) ?:
	       bpf_map__reuse_fd(sk->maps.s_hash, bpf_map__fd(from->maps.s_hash)) ?:
	       bpf_map__reuse_fd(sk->maps.s_lru, bpf_map__fd(from->maps.s_lru)) ?:
	       bpf_map__reuse_fd(sk->maps.s_outer, bpf_map__fd(from->maps.s_outer));
}

static struct stress_bpf *load(struct run *r, struct stress_bpf *from, uint64_t seed, bool guest)
{
	struct stress_bpf *sk = stress_bpf__open();
	int i, err;

	if (!sk)
		return NULL;
	sk->rodata->me = sk->bss->identity = mix(seed + ++r->identities);
	for (i = 0; i < MAX_CPUS * WHERES; i++)
		sk->bss->seeds[i] = mix(sk->bss->identity + i) | 1;
	sk->rodata->nmi_init = can_init_in_nmi();
	sk->rodata->elems = 1 + mix(seed) % ELEMS;
	bpf_program__set_autoload(sk->progs.visit, guest);
	bpf_program__set_autoload(sk->progs.stress, !guest);
	bpf_program__set_autoload(sk->progs.stress_nmi, !guest);
	err = share(sk, r, from) ?: stress_bpf__load(sk);
	if (!err && !from)
		err = fill(sk->maps.s_array, M_ARRAY) ?: fill(sk->maps.s_hash, M_HASH) ?:
		      fill(sk->maps.s_lru, M_LRU);
	err = err ?: fill(sk->maps.s_inner, M_INNER);
	if (!err && !guest)
		err = stress_bpf__attach(sk);
	if (!err)
		return sk;
	stress_bpf__destroy(sk);
	return NULL;
}

static void *hammer(void *arg)
{
	struct thread *t = arg;
	unsigned long n;

	pin_cpu(t->cpu);
	setpriority(PRIO_PROCESS, 0, 10);	/* of this thread: guests are slow to load */
	for (n = 0; !t->run->stop && !t->err; n++)
		t->err = run_prog(t->fd, n & 1);
	return NULL;
}

/* Instances that come and go, and inner maps with them. */
static void *guests(void *arg)
{
	struct thread *t = arg;
	struct run *r = t->run;
	int outer = bpf_map__fd(r->inst[0]->maps.s_outer), inner, slot, i, n;
	struct stress_bpf *sk;
	uint64_t dice;

	while (!r->stop && !t->err) {
		dice = mix(t->seed++);
		slot = dice % OUTER;
		sk = load(r, r->inst[0], dice, true);
		if (!sk) {
			t->err = -1;
			break;
		}
		inner = bpf_map__fd(sk->maps.s_inner);
		t->err = bpf_map_update_elem(outer, &slot, &inner, 0);
		n = (dice >> 8) & 31;
		for (i = 0; i < n && !r->stop && !t->err; i++)
			t->err = run_prog(bpf_program__fd(sk->progs.visit), 0);
		/* Now it goes, or when its place is taken, or with the outer map. */
		if (!((dice >> 16) & 3))
			bpf_map_delete_elem(outer, &slot);
		stress_bpf__destroy(sk);
		r->guests++;
	}
	return NULL;
}

static const char *what_is_wrong(struct totals *s)
{
	int i;

	for (i = 0; i < WRONGS; i++)
		if (s->wrong[i])
			return fail("%s %#llx (%s, %s; %llu times)", wrongs[i],
				    (unsigned long long)s->value[i], kinds[s->kind[i]],
				    wheres[s->where[i]], (unsigned long long)s->wrong[i]);
	return NULL;
}

static const char *one_round(struct run *r, uint64_t seed, uint64_t end)
{
	struct counts before = count_all();
	struct thread t[THREADS + 1] = {};
	uint64_t begun = now_ns(), least, until;
	const char *err = NULL;
	int i, started = 0;

	r->stop = false;
	r->inst[1] = NULL;
	r->inst[0] = load(r, NULL, seed, false);
	CHECK(r->inst[0], "cannot load stress.bpf.o");
	r->inst[1] = load(r, r->inst[0], seed, false);
	CHECK(r->inst[1], "cannot load stress.bpf.o again");
	for (i = 0; i <= THREADS; i++, started++) {
		t[i] = (struct thread){ .run = r, .cpu = i / 2 % cpu_count(), .seed = mix(seed) };
		t[i].fd = bpf_program__fd(r->inst[i & 1]->progs.stress);
		if (pthread_create(&t[i].id, NULL, i < THREADS ? hammer : guests, &t[i]))
			abort();
	}
	/* As long as it took to load, and a ROUND at least, also when the time is up. */
	least = now_ns() + ROUND * 1000000000ULL;
	until = least + (now_ns() - begun);
	if (until > end)
		until = end > least ? end : least;
	while (now_ns() < until && !what_is_wrong(totals(r)))
		poll_pause();
out:
	r->stop = true;
	for (i = 0; i < started; i++) {
		pthread_join(t[i].id, NULL);
		if (t[i].err && !err)
			err = fail("%s: %d", i < THREADS ? "test_run" : "a guest", t[i].err);
	}
	/* What is armed, pending or running goes with them, and is still checked. */
	stress_bpf__destroy(r->inst[0]);
	stress_bpf__destroy(r->inst[1]);
	err = err ?: nothing_left(before);
	return what_is_wrong(totals(r)) ?: err;
}

/* What was never done, or NULL. */
static const char *missing(const struct totals *s)
{
	int kind, where, i;

	for (kind = 0; kind < KINDS; kind++)
		for (where = 0; where < WHERES; where++)
			if (!s->done[where * KINDS + kind] &&
			    (where != W_NMI || can_init_in_nmi() ||
			     (kind != K_T_INIT && kind != K_W_INIT)))
				return fail("%s was never done: %s", kinds[kind], wheres[where]);
	for (i = 0; i < MAPS; i++)
		if (!s->on_map[i])
			return fail("nothing was done on the %s", maps[i]);
	if (!s->timers || !s->works || !s->slept)
		return fail("no callback of some kind");
	return NULL;
}

static void table(const struct totals *s)
{
	int kind, i;

	say("%-16s %10s %10s %10s %10s %10s", "", wheres[0], wheres[1], wheres[2], wheres[3],
	    wheres[4]);
	for (kind = 0; kind < KINDS; kind++) {
		const __u64 *n = &s->done[kind];

		say("%-16s %10llu %10llu %10llu %10llu %10llu", kinds[kind], n[0], n[KINDS],
		    n[2 * KINDS], n[3 * KINDS], n[4 * KINDS]);
	}
	for (i = 0; i < MAPS; i++)
		say("%-16s %10llu", maps[i], s->on_map[i]);
	if (!can_init_in_nmi())
		say("init in an NMI is left out: the kernel's debug objects take a lock in it");
	say("callbacks: timers %llu, works %llu, of which slept %llu", s->timers, s->works, s->slept);
}

static unsigned long long operations(const struct totals *s)
{
	unsigned long long n = 0;
	int i;

	for (i = 0; i < WHERES * KINDS; i++)
		n += s->done[i];
	return n;
}

static const char *stress(int seconds)
{
	uint64_t length = seconds * 1000000000ULL, start = now_ns(), end = start + length;
	const char *text = getenv("REGRESS_SEED"), *err = NULL;
	uint64_t seed = text ? strtoull(text, NULL, 0) : mix(start) >> 32, round = 0;
	struct run r = { .shared = stress_bpf__open() };

	CHECK(r.shared, "cannot open stress.bpf.o");
	bpf_program__set_autoload(r.shared->progs.visit, false);
	bpf_program__set_autoload(r.shared->progs.stress, false);
	bpf_program__set_autoload(r.shared->progs.stress_nmi, false);
	CHECK(!stress_bpf__load(r.shared), "cannot load the maps of stress.bpf.o");
	say("seed %llu, %d CPUs, %d s, objects counted: %s", (unsigned long long)seed, cpu_count(),
	    seconds, count_all().objects < 0 ? "no (no CONFIG_MEM_ALLOC_PROFILING)" : "yes");
	/* On a slow machine longer, until all was done once. */
	while (!err && (now_ns() < end || ((missing(totals(&r)) || !r.guests) &&
					   now_ns() < start + PATIENCE * length))) {
		err = one_round(&r, seed + round++, end);
		say("%3d s: round %llu, %llu operations, %llu callbacks, %lu guests",
		    (int)((now_ns() - start) / 1000000000), (unsigned long long)round,
		    operations(totals(&r)), totals(&r)->timers + totals(&r)->works, r.guests);
	}
	table(totals(&r));
	if (err)
		say("the load of this round begins with SEED=%llu",
		    (unsigned long long)(seed + round - 1));
	else
		err = missing(totals(&r));
	if (!err && !r.guests)
		err = fail("no programs came and went");
out:
	stress_bpf__destroy(r.shared);
	return err;
}

const struct test stress_tests[] = {
	{ "stress", stress, "all operations on the same elements from all CPUs and contexts",
	  .own_boot = true, .append = "init_on_free=1", .seconds = 60 },
	{}
};
