// SPDX-License-Identifier: GPL-2.0
/*
 * H3: the work function is held at one instruction after the other, and what it
 * works on is taken away. Not at points that are thought to matter:
 * at all that there are, so that no gap is forgotten, on either kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "gaps.h"

/* The work function first, then what it has in functions of its own. */
const char *const work_functions[] = {
	"bpf_wq_work", "_R*4work*WorkItem7work_fn", "_R*4work*WorkItem3run*ProgCallback*",
	"_R*4work*Held*3new*ProgCallback*", "_R*ProgCallback*WorkCallback4hold",
	NULL,
};

struct gaps_bpf *load_observer(void)
{
	struct gaps_bpf *sk = gaps_bpf__open();

	if (!sk)
		return NULL;
	bpf_program__set_autoload(sk->progs.arm, false);
	bpf_program__set_autoload(sk->progs.arm_inner, false);
	bpf_program__set_autoload(sk->progs.set_callback, false);
	if (!gaps_bpf__load(sk) && !gaps_bpf__attach(sk))
		return sk;
	gaps_bpf__destroy(sk);
	return NULL;
}

struct gaps_bpf *load_victim(struct gaps_bpf *observer, bool inner)
{
	struct gaps_bpf *sk = gaps_bpf__open();
	struct bpf_program *arm;
	char value[64] = {};
	struct bpf_map *map;
	int key = 0, err;

	if (!sk)
		return NULL;
	map = inner ? sk->maps.inner : sk->maps.victims;
	arm = inner ? sk->progs.arm_inner : sk->progs.arm;
	/* What has the other map would keep it, or would be one program more. */
	bpf_program__set_autoload(inner ? sk->progs.arm : sk->progs.arm_inner, false);
	bpf_program__set_autoload(sk->progs.set_callback, !inner);
	bpf_program__set_autoload(sk->progs.see_start, false);
	bpf_program__set_autoload(sk->progs.see_end, false);
	err = bpf_map__reuse_fd(sk->maps.bss, bpf_map__fd(observer->maps.bss)) ?:
	      gaps_bpf__load(sk) ?:
	      bpf_map__update_elem(map, &key, sizeof(key), value, bpf_map__value_size(map), 0);
	if (!err) {
		pin_cpu(WORKER);
		err = run_prog(bpf_program__fd(arm), 0) ?: observer->bss->result;
		pin_cpu(0);
	}
	if (!err)
		return sk;
	say("cannot start the work item: %d", err);
	gaps_bpf__destroy(sk);
	return NULL;
}

bool delete_victim(struct gaps_bpf *sk)
{
	int key = 0;

	return !bpf_map__delete_elem(sk->maps.victims, &key, sizeof(key), 0);
}

static void *grace_thread(void *arg)
{
	struct grace *g = arg;
	int key = 0;

	if (g->outer)	/* waits for a grace period when it has been done */
		bpf_map_delete_elem(g->outer, &key);
	module_write("grace", "1");
	g->over = true;
	return NULL;
}

void grace_begin(struct grace *g)
{
	g->over = false;
	if (pthread_create(&g->thread, NULL, grace_thread, g))
		abort();
}

/* What is longer than this was held up by a reader. */
static double grace_limit(void)
{
	uint64_t longest = 10000000, t;
	int i;

	for (i = 0; i < 3; i++) {
		t = now_ns();
		module_write("grace", "1");
		t = now_ns() - t;
		longest = t > longest ? t : longest;
	}
	return 6 * longest / 1e9;
}

bool next_offset(struct sweep *s, uint64_t end)
{
	const unsigned int step = 7919;	/* a prime, larger than any of the functions */
	const unsigned int first = 32;	/* the begin of the function, where no read side is yet */

	s->offset = s->n < first ? s->n % s->f->size : (s->n - first) * step % s->f->size;
	return s->n++ < s->f->size + first && (s->n == 1 || now_ns() < end);
}

/* What happens to the victim, and what is said of it. */
enum take { DELETE, UNLOAD, INNER };
static const char *const take_done[] = {
	"the element deleted", "program and map closed", "program and inner map gone",
};

struct seen {
	int held, outside, inside, not_probed;
};

bool no_instruction(int err)
{
	return err == -EILSEQ || err == -EINVAL || err == -ENOSPC;
}

/*
 * The map of maps lets go of the inner map, in the thread of the grace period
 * because that waits for one; then only the callback that is held has it.
 */
static bool drop_inner(struct gaps_bpf *victim, struct grace *grace)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), next;

	if (bpf_map_get_info_by_fd(bpf_map__fd(victim->maps.inner), &info, &len))
		abort();
	grace->outer = dup(bpf_map__fd(victim->maps.outer));
	grace_begin(grace);
	gaps_bpf__destroy(victim);
	return WAIT_UNTIL(bpf_map_get_next_id(info.id - 1, &next) || next != info.id, 120);
}

/*
 * One run of the work item with its function held at one instruction. What was
 * held outside of a read side, when grace periods have passed, must call nothing.
 */
static const char *hold_and_take(struct gaps_bpf *observer, const struct function *f,
				 unsigned int offset, enum take take, double limit,
				 struct seen *seen)
{
	struct gaps_bpf__bss *g = observer->bss;
	struct gaps_bpf *victim = NULL;
	const char *err = NULL;
	uint64_t ended = g->ended, called = g->called;
	bool passed = false, early = false;
	char where[300];
	struct grace grace = {};
	int ret;

	snprintf(where, sizeof(where), "%s+%u", f->name, offset);
	ret = stall_at(0, where, -1);
	seen->not_probed += ret == -EOPNOTSUPP;	/* some indirect calls */
	if (no_instruction(ret) || ret == -EOPNOTSUPP)
		return NULL;
	CHECK(!ret, "no probe at %s: %d", where, ret);
	victim = load_victim(observer, take == INNER);
	CHECK(victim, "cannot load gaps.bpf.o");
	CHECK(WAIT_UNTIL(stalled_at(0) || g->ended > ended, 10), "%s: the work did not run", where);
	if (!stalled_at(0))
		goto out;
	seen->held++;
	early = g->called == called;	/* held before the callback, not after it */
	if (take == DELETE) {
		CHECK(delete_victim(victim), "%s: deleting the element", where);
		grace_begin(&grace);
	} else if (take == UNLOAD) {
		gaps_bpf__destroy(victim);
		victim = NULL;
		grace_begin(&grace);
	} else {
		bool gone = drop_inner(victim, &grace);

		victim = NULL;
		CHECK(gone, "%s: the inner map stays", where);
	}
	if (early)
		WAIT_UNTIL(grace.over, limit);
	passed = early && grace.over && stalled_at(0);
	stall_go(0);
	pthread_join(grace.thread, NULL);
	grace.thread = 0;
	CHECK(WAIT_UNTIL(g->ended > ended, 10), "%s: the work function did not end", where);
	CHECK(!passed || g->called == called,
	      "called after the grace period: held at %s, %s", where, take_done[take]);
	seen->outside += passed;
	seen->inside += early && g->called > called;
out:
	stall_end(0);
	if (grace.thread)
		pthread_join(grace.thread, NULL);
	if (grace.outer)
		close(grace.outer);
	gaps_bpf__destroy(victim);
	return err;
}

static const char *sweep_work(struct gaps_bpf *observer, const struct function *f, int n,
			      enum take take, double limit, uint64_t end)
{
	struct seen seen = {};
	const char *err = NULL;
	int i;

	for (i = 0; i < n; i++) {
		struct sweep s = { .f = &f[i] };
		uint64_t now = now_ns(), until = now + (end > now ? (end - now) / (n - i) : 0);

		/* On a slow machine longer, until it has shown something. */
		while (!err && next_offset(&s, i == n - 1 && !(seen.outside && seen.inside) ?
					   UINT64_MAX : until))
			err = hold_and_take(observer, &f[i], s.offset, take, limit, &seen);
	}
	if (err)
		return err;
	say("%s: held at %d instructions (%d cannot be), %d outside of a read side, called from %d",
	    take_done[take], seen.held, seen.not_probed, seen.outside,
	    seen.inside);
	if (observer->bss->broken)
		return fail("the value changed under the callback");
	if (!seen.outside || !seen.inside)
		return fail("not held on both sides of the read side's begin");
	return NULL;
}

static const char *h3(int seconds)
{
	uint64_t start = now_ns();
	struct gaps_bpf *observer = load_observer();
	double limit = grace_limit();
	struct function f[5];
	const char *err = NULL;
	enum take take;
	int n;

	CHECK(observer, "cannot load gaps.bpf.o");
	n = find_functions(work_functions, f, 5);
	CHECK(n, "this kernel has no work function of a known name");
	observer->bss->work_function = f[0].addr;
	for (take = DELETE; take <= INNER && !err; take++)
		err = sweep_work(observer, f, n, take, limit,
				 start + (take + 1) * seconds * 1000000000ULL / 3);
out:
	gaps_bpf__destroy(observer);
	return err;
}

const struct test gaps_tests[] = {
	{ "H3", h3, "a work function held before its callback calls nothing that is gone",
	  .own_boot = true, .one_thread = true, .seconds = 30,
	  .c_says = "called after the grace period|int3|unable to handle|invalid opcode|KASAN|"
		    "the value changed under the callback" },
	{}
};
