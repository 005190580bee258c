// SPDX-License-Identifier: GPL-2.0
/*
 * H3, H30: the work function is held at one instruction after the other, and
 * what it works on is taken away. Not at points that are thought to matter:
 * at all that there are, so that no gap is forgotten, on either kernel.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "gaps.skel.h"

#define WORKER		2	/* the CPU of the work item */
#define WRITER		1

/* The work function first, then what it has in functions of its own. */
static const char *const work_functions[] = {
	"_R*4work*WorkItem7work_fn", "_R*4work*WorkItem3run*ProgCallback*",
	"_R*4work*Held*3new*ProgCallback*", "_R*ProgCallback*WorkCallback4hold",
	"bpf_wq_work", NULL,
};
/* Where set_callback begins, then where it puts FREED back; what it answers. */
static const char *const rust_writers[] = {
	"bpf_async_wq_set_callback", "_R*CallbackCell*ProgCallback*free_again*", NULL,
};
static const char *const c_writers[] = { "bpf_wq_set_callback", NULL };

static struct gaps_bpf *load_observer(void)
{
	struct gaps_bpf *sk = gaps_bpf__open();

	if (!sk)
		return NULL;
	bpf_program__set_autoload(sk->progs.arm, false);
	bpf_program__set_autoload(sk->progs.set_callback, false);
	if (!gaps_bpf__load(sk) && !gaps_bpf__attach(sk))
		return sk;
	gaps_bpf__destroy(sk);
	return NULL;
}

/* A victim with the observer's globals, its work item started on its CPU. */
static struct gaps_bpf *load_victim(struct gaps_bpf *observer)
{
	struct gaps_bpf *sk = gaps_bpf__open();
	char value[64] = {};
	int key = 0, err;

	if (!sk)
		return NULL;
	bpf_program__set_autoload(sk->progs.see_start, false);
	bpf_program__set_autoload(sk->progs.see_end, false);
	err = bpf_map__reuse_fd(sk->maps.bss, bpf_map__fd(observer->maps.bss)) ?:
	      gaps_bpf__load(sk) ?:
	      bpf_map__update_elem(sk->maps.victims, &key, sizeof(key), value,
				   bpf_map__value_size(sk->maps.victims), 0);
	if (!err) {
		pin_cpu(WORKER);
		err = run_prog(bpf_program__fd(sk->progs.arm), 0) ?: observer->bss->result;
		pin_cpu(0);
	}
	if (!err)
		return sk;
	say("cannot start the work item: %d", err);
	gaps_bpf__destroy(sk);
	return NULL;
}

static bool delete_victim(struct gaps_bpf *sk)
{
	int key = 0;

	return !bpf_map__delete_elem(sk->maps.victims, &key, sizeof(key), 0);
}

/* Grace periods of RCU and RCU Tasks Trace, waited for in a thread. */
struct grace {
	pthread_t thread;
	volatile bool over;
};

static void *grace_thread(void *arg)
{
	struct grace *g = arg;

	module_write("grace", "1");
	g->over = true;
	return NULL;
}

static void grace_begin(struct grace *g)
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

/*
 * All offsets of a function, in an order that is even over it at any time: so
 * when there is no time for all of them it is a sample that is left.
 */
struct sweep {
	const struct function *f;
	unsigned int n, offset;
};

static bool next_offset(struct sweep *s, uint64_t end)
{
	const unsigned int step = 7919;	/* a prime, larger than any of the functions */

	s->offset = s->n * step % s->f->size;
	return s->n++ < s->f->size && (s->n == 1 || now_ns() < end);
}

enum take { DELETE, UNLOAD, TAKES };

struct seen {
	int held, outside, inside, not_probed;
};

/*
 * Whether an error of stall_at() says that there is nothing to hold at: the
 * middle of an instruction, one of ftrace's, or one too long for a probe, as
 * only the padding behind a function has it.
 */
static bool no_instruction(int err)
{
	return err == -EILSEQ || err == -EINVAL || err == -ENOSPC;
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
	struct grace grace;
	int ret;

	snprintf(where, sizeof(where), "%s+%u", f->name, offset);
	ret = stall_at(0, where, -1);
	seen->not_probed += ret == -EOPNOTSUPP;	/* some indirect calls */
	if (no_instruction(ret) || ret == -EOPNOTSUPP)
		return NULL;
	CHECK(!ret, "no probe at %s: %d", where, ret);
	victim = load_victim(observer);
	CHECK(victim, "cannot load gaps.bpf.o");
	CHECK(WAIT_UNTIL(stalled_at(0) || g->ended > ended, 10), "%s: the work did not run", where);
	if (!stalled_at(0))
		goto out;
	seen->held++;
	early = g->called == called;	/* held before the callback, not after it */
	if (take == UNLOAD) {
		gaps_bpf__destroy(victim);
		victim = NULL;
	} else {
		CHECK(delete_victim(victim), "%s: deleting the element", where);
	}
	grace_begin(&grace);
	if (early)
		WAIT_UNTIL(grace.over, limit);
	passed = early && grace.over && stalled_at(0);
	stall_go(0);
	pthread_join(grace.thread, NULL);
	CHECK(WAIT_UNTIL(g->ended > ended, 10), "%s: the work function did not end", where);
	CHECK(!passed || g->called == called,
	      "called after the grace period: held at %s, %s", where,
	      take == UNLOAD ? "program and map closed" : "the element deleted");
	seen->outside += passed;
	seen->inside += early && g->called > called;
out:
	stall_end(0);
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
	    take == UNLOAD ? "unloaded" : "deleted", seen.held, seen.not_probed, seen.outside,
	    seen.inside);
	if (observer->bss->broken)
		return fail("the value changed under the callback");
	if (!seen.outside || !seen.inside)
		return fail("not held on both sides of the read side's begin");
	return NULL;
}

static const char *h3(int seconds)
{
	uint64_t start = now_ns(), half = seconds * 500000000ULL;
	struct gaps_bpf *observer = load_observer();
	double limit = grace_limit();
	struct function f[5];
	const char *err = NULL;
	int n;

	CHECK(observer, "cannot load gaps.bpf.o");
	n = find_functions(work_functions, f, 5);
	CHECK(n, "this kernel has no work function of a known name");
	observer->bss->work_function = f[0].addr;
	err = sweep_work(observer, f, n, DELETE, limit, start + half);
	err = err ?: sweep_work(observer, f, n, UNLOAD, limit, start + 2 * half);
out:
	gaps_bpf__destroy(observer);
	return err;
}

struct writer {
	pthread_t thread;
	int fd;
	volatile bool over;
};

static void *writer_thread(void *arg)
{
	struct writer *w = arg;

	pin_cpu(WRITER);
	run_prog(w->fd, 0);
	w->over = true;
	return NULL;
}

/*
 * The writer is held at one instruction, at which it has looked at the object
 * already; the element is deleted, and the writer goes on to another one. A
 * grace period begins, which it holds up, and then the work function, which had
 * begun before all this, takes its guard and looks at the freed object. Without
 * a second place only the writer's answer is of interest, in result.
 */
static const char *hold_writer(struct gaps_bpf *observer, const struct function *work,
			       const char *first, const char *second, int want, int *held)
{
	struct gaps_bpf__bss *g = observer->bss;
	uint64_t ended = g->ended, called = g->called;
	struct gaps_bpf *victim = NULL;
	struct writer w = {};
	struct grace grace = {};
	const char *err = NULL;
	int ret, nr;

	g->result = 1;
	ret = stall_at(1, first, WRITER);
	if (!ret && second) {	/* whether there is an instruction */
		ret = stall_at(2, second, WRITER);
		stall_end(2);
	}
	if (no_instruction(ret))
		goto out;
	CHECK(!ret, "no probe at %s or %s: %d", first, second ?: first, ret);
	ret = stall_at(0, work->name, WORKER);
	CHECK(!ret, "no probe at %s: %d", work->name, ret);
	victim = load_victim(observer);
	CHECK(victim, "cannot load gaps.bpf.o");
	CHECK(WAIT_UNTIL(stalled_at(0), 10), "the work did not run");
	g->result = 1;
	w.fd = bpf_program__fd(victim->progs.set_callback);
	if (pthread_create(&w.thread, NULL, writer_thread, &w))
		abort();
	WAIT_UNTIL(stalled_at(1) || w.over, 10);
	if (!stalled_at(1)) {
		g->result = 1;	/* it does not come by there */
		goto out;
	}
	CHECK(delete_victim(victim), "deleting the element");
	ret = second ? stall_at(2, second, WRITER) : 0;
	CHECK(!ret, "no probe at %s: %d", second, ret);
	stall_go(1);
	WAIT_UNTIL(stalled_at(2) || w.over, 10);
	if (stalled_at(2)) {
		grace_begin(&grace);
		stall_go(0);
		CHECK(WAIT_UNTIL(g->ended > ended, 10), "%s: the work did not end", second);
		CHECK(!grace.over, "%s: the writer did not hold up the grace period", second);
		CHECK(g->called == called, "called on a freed object: the writer held at %s", second);
		(*held)++;
	}
out:
	for (nr = 0; nr < 3; nr++)
		stall_go(nr);
	if (w.thread)
		pthread_join(w.thread, NULL);
	if (grace.thread)
		pthread_join(grace.thread, NULL);
	if (!err && second && victim && g->result != want)
		err = fail("%s: set_callback on the freed object: %d", second, g->result);
	for (nr = 0; nr < 3; nr++)
		stall_end(nr);
	if (victim)
		WAIT_UNTIL(g->ended > ended, 10);
	gaps_bpf__destroy(victim);
	return err;
}

static const char *h30(int seconds)
{
	uint64_t end = now_ns() + seconds * 1000000000ULL;
	struct gaps_bpf *observer = load_observer();
	char first[300], second[300];
	struct function work, f[2];
	const char *err = NULL;
	int i, n, held = 0, want = -EPERM;	/* C does not say that the object is freed */

	CHECK(observer, "cannot load gaps.bpf.o");
	CHECK(find_functions(work_functions, &work, 1), "this kernel has no known work function");
	n = find_functions(rust_writers, f, 2);
	if (!n) {
		n = find_functions(c_writers, f, 2);
		want = 0;
	}
	CHECK(n, "this kernel has no known set_callback");
	observer->bss->work_function = work.addr;
	/* The first place at which the object has been looked at. */
	for (i = 0; i < f[0].size && !err; i++) {
		snprintf(first, sizeof(first), "%s+%d", f[0].name, i);
		err = hold_writer(observer, &work, first, NULL, want, &held);
		if (observer->bss->result == want)
			break;
	}
	CHECK(err || i < f[0].size, "set_callback never finds the object freed");
	for (i = 0; i < n && !err; i++) {
		struct sweep s = { .f = &f[i] };

		while (!err && next_offset(&s, end)) {
			snprintf(second, sizeof(second), "%s+%u", f[i].name, s.offset);
			err = hold_writer(observer, &work, first, second, want, &held);
		}
	}
	if (err)
		goto out;
	say("the writer was held at %d instructions after the object was freed at %s%s", held,
	    first, now_ns() > end ? ", then the time was up" : "");
	CHECK(held > 2, "the writer was never held between its exchanges");
out:
	gaps_bpf__destroy(observer);
	return err;
}

const struct test gaps_tests[] = {
	{ "H3", h3, "a work function held before its callback calls nothing that is gone",
	  .own_boot = true, .one_thread = true, .seconds = 20,
	  .c_says = "called after the grace period" },
	{ "H30", h30, "set_callback held on a freed object: nothing is called",
	  .own_boot = true, .one_thread = true, .seconds = 20,
	  .c_says = "called on a freed object" },
	{}
};
