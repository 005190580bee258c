// SPDX-License-Identifier: GPL-2.0
/*
 * H30: a set_callback is held at one instruction after the other, while the
 * object is freed and its work function, which had begun before, looks at it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "gaps.h"

#define WRITER		1	/* the CPU of set_callback */
#define ENOUGH		3	/* places between its exchanges */

/* Where set_callback begins, then where it puts FREED back; what it answers. */
static const char *const rust_writers[] = {
	"bpf_async_wq_set_callback", "_R*CallbackCell*ProgCallback*11set_refused*",
	"_R*CallbackCell*ProgCallback*free_again*", NULL,
};
/* The innermost first: the compiler may have made one function of them. */
static const char *const c_writers[] = {
	"bpf_async_update_prog_callback", "__bpf_async_set_callback", "bpf_wq_set_callback", NULL,
};

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
	if (!ret && second) {
		ret = stall_at(2, second, WRITER);
		stall_go(2);	/* not yet */
	}
	if (no_instruction(ret))
		goto out;
	CHECK(!ret, "no probe at %s or %s: %d", first, second ?: first, ret);
	ret = stall_at(0, work->name, WORKER);
	CHECK(!ret, "no probe at %s: %d", work->name, ret);
	victim = load_victim(observer, false);
	CHECK(victim, "cannot load gaps.bpf.o");
	CHECK(WAIT_UNTIL(stalled_at(0), 10), "the work did not run");
	w.fd = bpf_program__fd(victim->progs.set_callback);
	/* Rust remembers where it has found a callback, and need not search again. */
	run_prog(w.fd, 0);
	run_prog(w.fd, 1);
	CHECK(!g->result, "set_callback: %d", g->result);
	g->result = 1;
	if (pthread_create(&w.thread, NULL, writer_thread, &w))
		abort();
	WAIT_UNTIL(stalled_at(1) || w.over, 10);
	if (!stalled_at(1)) {
		g->result = 1;	/* it does not come by there */
		goto out;
	}
	CHECK(delete_victim(victim), "deleting the element");
	CHECK(!second || !stall_again(2), "%s: cannot arm the probe", second);
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
	/* But for a search, after which Rust looks at the slot once more. */
	if (!err && second && victim && g->result != want && (!want || g->result != -EINVAL))
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
	struct gaps_bpf *observer = load_observer();
	char first[300], second[300];
	struct function work, f[3];
	const char *err = NULL;
	bool found = false;
	uint64_t end;
	int i, k, n, held[2] = {}, want = -EPERM;	/* C does not say that the object is freed */

	CHECK(observer, "cannot load gaps.bpf.o");
	CHECK(find_functions(work_functions, &work, 1), "this kernel has no known work function");
	n = find_functions(rust_writers, f, 2);
	if (!n) {
		n = find_functions(c_writers, f, 3);
		want = 0;
	}
	CHECK(want ? n == 2 : n, "this kernel has %d of the known parts of set_callback", n);
	observer->bss->work_function = work.addr;
	/* The first place at which the object has been looked at. */
	for (k = 0; k < (want ? 1 : n) && !err && !found; k++)
		for (i = 0; i < f[k].size && !err && !found; i++) {
			snprintf(first, sizeof(first), "%s+%d", f[k].name, i);
			err = hold_writer(observer, &work, first, NULL, want, &held[0]);
			found = observer->bss->result == want;
		}
	CHECK(err || found, "set_callback never finds the object freed");
	if (!want) {
		f[0] = f[k - 1];
		n = 1;
	}
	/* Where it is between its exchanges first: on a slow machine longer, until it was. */
	end = now_ns() + seconds * 1000000000ULL;
	for (i = n - 1; i >= 0 && !err; i--) {
		struct sweep s = { .f = &f[i] };

		while (!err && next_offset(&s, i == n - 1 && held[i] < ENOUGH ? UINT64_MAX : end)) {
			snprintf(second, sizeof(second), "%s+%u", f[i].name, s.offset);
			err = hold_writer(observer, &work, first, second, want, &held[i]);
		}
	}
	if (err)
		goto out;
	say("the writer was held at %d instructions after the object was freed at %s, at %d of them "
	    "between its exchanges%s", held[0] + held[1], first, held[n - 1],
	    now_ns() > end ? "; then the time was up" : "");
	CHECK(held[n - 1] >= ENOUGH, "the writer was hardly held between its exchanges");
out:
	gaps_bpf__destroy(observer);
	return err;
}

const struct test freed_tests[] = {
	{ "H30", h30, "set_callback held on a freed object: nothing is called",
	  .own_boot = true, .one_thread = true, .seconds = 20,
	  .c_says = "called on a freed object|int3|unable to handle|invalid opcode|KASAN" },
	{}
};
