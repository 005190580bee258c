// SPDX-License-Identifier: GPL-2.0
/*
 * A function is held at one instruction after the other, and what it works on
 * is taken away: the work function of a wq (H3); set_callback() while the work
 * function, which had begun before, looks at the freed object (H30); and a start
 * while an earlier run of the work item is held. Not at points that are thought to
 * matter: at any, on either kernel.
 */
#include <sched.h>

#include "async_helpers.h"
#include "wq_gaps.skel.h"

#define WRITER		1	/* the CPU of set_callback() */
#define WORKER		2	/* the CPU of the work item */
#define HOLDS		12	/* of the work function, for each way to take something away */
#define WRITER_HOLDS	24	/* of each part of set_callback() */
#define ENOUGH		3	/* of them between its exchanges */

static const char *const work_functions[] = { "bpf_wq_work", NULL };

/* The observer, which stays, and has the globals of both. See what is queued and freed, or not. */
static struct wq_gaps *load_observer(bool frees)
{
	struct wq_gaps *skel = wq_gaps__open();

	if (!ASSERT_OK_PTR(skel, "open"))
		return NULL;
	bpf_program__set_autoload(skel->progs.arm, false);
	bpf_program__set_autoload(skel->progs.arm_inner, false);
	bpf_program__set_autoload(skel->progs.set_callback, false);
	bpf_program__set_autoload(skel->progs.start_again, false);
	bpf_program__set_autoload(skel->progs.see_queue, frees);
	bpf_program__set_autoload(skel->progs.see_kfree, frees);
	bpf_program__set_autoload(skel->progs.see_kfree_nolock, frees);
	if (ASSERT_OK(wq_gaps__load(skel), "load") && ASSERT_OK(wq_gaps__attach(skel), "attach"))
		return skel;
	wq_gaps__destroy(skel);
	return NULL;
}

/* A victim with the observer's globals, its work item started on its CPU. */
static struct wq_gaps *load_victim(struct wq_gaps *observer, bool inner)
{
	struct sched_param fifo = { .sched_priority = 1 }, other = {};
	struct wq_gaps *skel = wq_gaps__open();
	struct bpf_program *arm;
	char value[64] = {};
	struct bpf_map *map;
	int key = 0, err;

	if (!ASSERT_OK_PTR(skel, "open"))
		return NULL;
	map = inner ? skel->maps.inner : skel->maps.victims;
	arm = inner ? skel->progs.arm_inner : skel->progs.arm;
	/* What has the other map would keep it, or would be one program more. */
	bpf_program__set_autoload(inner ? skel->progs.arm : skel->progs.arm_inner, false);
	bpf_program__set_autoload(skel->progs.set_callback, !inner);
	bpf_program__set_autoload(skel->progs.start_again, !inner);
	bpf_program__set_autoload(skel->progs.see_queue, false);
	bpf_program__set_autoload(skel->progs.see_kfree, false);
	bpf_program__set_autoload(skel->progs.see_kfree_nolock, false);
	bpf_program__set_autoload(skel->progs.see_start, false);
	bpf_program__set_autoload(skel->progs.see_end, false);
	err = bpf_map__reuse_fd(skel->maps.bss, bpf_map__fd(observer->maps.bss)) ?:
	      wq_gaps__load(skel) ?:
	      bpf_map__update_elem(map, &key, sizeof(key), value, bpf_map__value_size(map), 0);
	/* The worker, which may be held, must not run before this thread has left its CPU. */
	if (ASSERT_OK(err, "load") &&
	    ASSERT_OK(sched_setscheduler(0, SCHED_FIFO, &fifo), "SCHED_FIFO")) {
		async_pin(WORKER);
		err = async_run(arm, 0) ?: observer->bss->result;
		async_pin(0);
		sched_setscheduler(0, SCHED_OTHER, &other);
		if (ASSERT_OK(err, "start the work item"))
			return skel;
	}
	wq_gaps__destroy(skel);
	return NULL;
}

static bool delete_victim(struct wq_gaps *skel)
{
	int key = 0;

	return ASSERT_OK(bpf_map__delete_elem(skel->maps.victims, &key, sizeof(key), 0),
			 "delete the element");
}

/* Grace periods of RCU and RCU Tasks Trace, waited for in a thread. */
struct grace {
	pthread_t thread;
	int outer;	/* when not 0: the map of maps that is emptied first */
	int err;	/* of that */
	volatile bool over;
};

static void *grace_thread(void *arg)
{
	struct grace *g = arg;
	int key = 0;

	if (g->outer)	/* waits for a grace period when it has been done */
		g->err = bpf_map_delete_elem(g->outer, &key);
	async_write("grace", "1");
	g->over = true;
	return NULL;
}

static void grace_begin(struct grace *g)
{
	g->over = false;
	g->thread = async_thread(0, grace_thread, g);
}

static volatile bool spin_over;

static void *spin(void *arg)
{
	while (!spin_over)
		;
	return NULL;
}

/*
 * How many turns of this thread a grace period takes while the worker's CPU is
 * as busy as when something is held there, but holds up nothing. One that takes
 * much longer is held up by a reader.
 */
static int grace_turns(void)
{
	struct grace g = {};
	int i, n, most = 5;
	pthread_t busy;

	spin_over = false;
	busy = async_thread(WORKER, spin, NULL);
	for (i = 0; i < 3; i++) {
		grace_begin(&g);
		for (n = 0; !g.over; n++)
			async_pause();
		pthread_join(g.thread, NULL);
		most = n > most ? n : most;
	}
	spin_over = true;
	pthread_join(busy, NULL);
	return 3 * most;
}

/* What happens to the victim. */
enum take { DELETE, UNLOAD, INNER };
static const char *const takes[] = {
	"element deleted", "program and map closed", "program and inner map gone",
};

struct seen {
	int held, outside, inside, kept, not_probed;
};

/*
 * The map of maps lets go of the inner map, in the thread of the grace period
 * because that waits for one; then only the run that is held has it. Whether
 * the map goes: not if the run has a reference already.
 */
static bool drop_inner(struct wq_gaps *victim, struct grace *grace, __u32 id, int turns)
{
	grace->outer = dup(bpf_map__fd(victim->maps.outer));
	grace_begin(grace);
	wq_gaps__destroy(victim);
	return async_wait_turns(!async_map_exists(id), turns);
}

/*
 * One run of the work item with its function held at one instruction. What was
 * held outside of a read side, when grace periods have passed, must call nothing.
 */
static bool hold_and_take(struct wq_gaps *observer, const struct async_function *f,
			  unsigned int offset, enum take take, int turns, struct seen *seen)
{
	struct wq_gaps__bss *g = observer->bss;
	bool passed, early, gone = true, ok = false;
	__u64 ended = g->ended, called = g->called;
	struct wq_gaps *victim = NULL;
	struct grace grace = {};
	__u32 inner = 0;
	char where[300];
	int err;

	snprintf(where, sizeof(where), "%s+%u", f->name, offset);
	err = async_stall(0, where, -1);
	seen->not_probed += err == -EOPNOTSUPP;	/* some indirect calls */
	if (async_no_place(err))
		return true;
	if (!ASSERT_OK(err, where))
		return false;
	victim = load_victim(observer, take == INNER);
	if (!victim || !ASSERT_TRUE(async_wait(async_stalled(0) || g->ended > ended),
				    "the work function runs"))
		goto out;
	ok = !async_stalled(0);
	if (ok)
		goto out;
	seen->held++;
	early = g->called == called;	/* held before the callback, not after it */
	if (take == DELETE) {
		if (!delete_victim(victim))
			goto out;
		grace_begin(&grace);
	} else if (take == UNLOAD) {
		wq_gaps__destroy(victim);
		victim = NULL;
		grace_begin(&grace);
	} else {
		inner = async_map_id(victim->maps.inner);
		gone = drop_inner(victim, &grace, inner, turns);
		victim = NULL;
	}
	if (early)
		async_wait_turns(grace.over, turns);
	passed = early && grace.over && async_stalled(0);
	async_stall_go(0);
	pthread_join(grace.thread, NULL);
	grace.thread = 0;
	ok = ASSERT_OK(grace.err, "empty the map of maps") &&
	     ASSERT_TRUE(async_wait(g->ended > ended), "the work function ends") &&
	     (!passed || ASSERT_EQ(g->called, called, "called after the grace period")) &&
	     (gone || ASSERT_TRUE(async_wait_rcu(!async_map_exists(inner)), "the inner map goes"));
	if (!ok)
		printf("held at %s, %s\n", where, takes[take]);
	seen->kept += !gone;
	seen->outside += passed;
	seen->inside += early && g->called > called;
out:
	async_stall_end(0);
	if (grace.thread)
		pthread_join(grace.thread, NULL);
	if (grace.outer)
		close(grace.outer);
	wq_gaps__destroy(victim);
	return ok;
}

/* HOLDS of them, and both sides of the read side's begin. */
static bool hold_all(struct wq_gaps *observer, const struct async_function *work, enum take take,
		     int turns)
{
	struct async_sweep s = { .f = work };
	struct seen seen = {};

	while ((seen.held < HOLDS || !(seen.outside && seen.inside)) && async_next_offset(&s))
		if (!hold_and_take(observer, work, s.offset, take, turns, &seen))
			return false;
	printf("%s: held at %d instructions (%d cannot be), %d outside of a read side, called from %d, inner map kept %d times\n",
	       takes[take], seen.held, seen.not_probed, seen.outside, seen.inside, seen.kept);
	return ASSERT_EQ(observer->bss->broken, 0, "the value changed under the callback") &&
	       ASSERT_GT(seen.outside, 0, "held outside of the read side") &&
	       ASSERT_GT(seen.inside, 0, "held inside of the read side");
}

static void work_held(void)
{
	struct wq_gaps *observer = load_observer(false);
	struct async_function work;
	int turns = grace_turns();
	enum take take;

	if (!observer)
		return;
	if (!ASSERT_EQ(async_find_functions(work_functions, &work, 1), 1, "the work function"))
		goto out;
	observer->bss->work_function = work.addr;
	for (take = DELETE; take <= INNER; take++)
		if (!hold_all(observer, &work, take, turns))
			break;
out:
	wq_gaps__destroy(observer);
}

void serial_test_wq_work_held(void)
{
	if (async_needs_cpus(3))
		async_test(work_held);
}

/* Where set_callback() begins, then where it puts FREED back. */
static const char *const rust_writers[] = {
	"bpf_async_wq_set_callback", "_R*CallbackCell*ProgCallback*11set_refused*", NULL,
};
/* The innermost first: the compiler may have made one function of them. */
static const char *const c_writers[] = {
	"bpf_async_update_prog_callback", "__bpf_async_set_callback", "bpf_wq_set_callback", NULL,
};

struct writer {
	pthread_t thread;
	const struct bpf_program *prog;
	volatile bool over;
};

static void *writer_thread(void *arg)
{
	struct writer *w = arg;

	async_run(w->prog, 0);
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
static bool hold_writer(struct wq_gaps *observer, const struct async_function *work,
			const char *first, const char *second, int want, int *held)
{
	struct wq_gaps__bss *g = observer->bss;
	__u64 ended = g->ended, called = g->called;
	struct wq_gaps *victim = NULL;
	struct grace grace = {};
	struct writer w = {};
	bool ok = false;
	int err, nr;

	g->result = 1;
	err = async_stall(1, first, WRITER);
	if (!err && second) {
		err = async_stall(2, second, WRITER);
		async_stall_go(2);	/* not yet */
	}
	ok = async_no_place(err);
	if (ok || !ASSERT_OK(err, second ?: first) ||
	    !ASSERT_OK(async_stall(0, work->name, WORKER), work->name))
		goto out;
	victim = load_victim(observer, false);
	if (!victim || !ASSERT_TRUE(async_wait(async_stalled(0)), "the work function runs"))
		goto out;
	w.prog = victim->progs.set_callback;
	async_run(w.prog, 0);
	async_run(w.prog, 1);
	if (!ASSERT_OK(g->result, "set_callback"))
		goto out;
	g->result = 1;
	w.thread = async_thread(WRITER, writer_thread, &w);
	if (!ASSERT_TRUE(async_wait(async_stalled(1) || w.over), "the writer runs"))
		goto out;
	ok = !async_stalled(1);
	if (ok) {
		g->result = 1;	/* it does not come by there */
		goto out;
	}
	if (!delete_victim(victim) || (second && !ASSERT_OK(async_stall_again(2), second)))
		goto out;
	async_stall_go(1);
	if (!ASSERT_TRUE(async_wait(async_stalled(2) || w.over), "the writer goes on"))
		goto out;
	ok = !async_stalled(2);
	if (ok)
		goto out;
	grace_begin(&grace);
	async_stall_go(0);
	ok = ASSERT_TRUE(async_wait(g->ended > ended), "the work function ends") &&
	     ASSERT_FALSE(grace.over, "the grace period is over before the writer goes on") &&
	     ASSERT_EQ(g->called, called, "called on a freed object");
	if (!ok)
		printf("the writer held at %s\n", second);
	(*held)++;
out:
	for (nr = 0; nr < 3; nr++)
		async_stall_go(nr);
	if (w.thread)
		pthread_join(w.thread, NULL);
	if (grace.thread)
		pthread_join(grace.thread, NULL);
	if (ok && second && victim)
		ok = ASSERT_EQ(g->result, want, "set_callback on the freed object");
	for (nr = 0; nr < 3; nr++)
		async_stall_end(nr);
	if (ok && victim)
		ok = ASSERT_TRUE(async_wait(g->ended > ended), "the work function ends");
	wq_gaps__destroy(victim);
	return ok;
}

static void set_callback_freed(void)
{
	int i, k, n, held[2] = {}, want = -EPERM;	/* C does not say that the object is freed */
	struct wq_gaps *observer = load_observer(false);
	struct async_function work, f[3];
	char first[300], second[300];
	bool found = false;

	if (!observer)
		return;
	if (!ASSERT_GT(async_find_functions(work_functions, &work, 1), 0, "the work function"))
		goto out;
	n = async_find_functions(rust_writers, f, 2);
	if (!n) {
		n = async_find_functions(c_writers, f, 3);
		want = 0;
	}
	if (!ASSERT_TRUE(want ? n == 2 : n > 0, "known parts of set_callback()"))
		goto out;
	observer->bss->work_function = work.addr;
	/* The first place at which the object has been looked at. */
	for (k = 0; k < (want ? 1 : n) && !found; k++)
		for (i = 0; i < f[k].size && !found; i++) {
			snprintf(first, sizeof(first), "%s+%d", f[k].name, i);
			if (!hold_writer(observer, &work, first, NULL, want, &held[0]))
				goto out;
			found = observer->bss->result == want;
		}
	if (!ASSERT_TRUE(found, "a place where set_callback() finds the object freed"))
		goto out;
	if (!want) {
		f[0] = f[k - 1];
		n = 1;
	}
	held[0] = 0;
	/* Where it is between its exchanges first. */
	for (i = n - 1; i >= 0; i--) {
		struct async_sweep s = { .f = &f[i] };

		while (held[i] < WRITER_HOLDS && async_next_offset(&s)) {
			snprintf(second, sizeof(second), "%s+%u", f[i].name, s.offset);
			if (!hold_writer(observer, &work, first, second, want, &held[i]))
				goto out;
		}
	}
	printf("the writer was held at %d instructions after the object was freed at %s, at %d of them between its exchanges\n",
	       held[0] + held[1], first, held[n - 1]);
	ASSERT_GE(held[n - 1], ENOUGH, "held between its exchanges");
out:
	wq_gaps__destroy(observer);
}

void serial_test_wq_set_callback_freed(void)
{
	if (async_needs_cpus(3))
		async_test(set_callback_freed);
}

static const char *const starters[] = { "bpf_async_wq_start", "bpf_wq_start", NULL };

/*
 * A run is held where the work function begins, and a start at one instruction;
 * the element is deleted, and the start goes on. What it queues is a second run,
 * of an object that has nothing else left. While the first is held the object
 * must stay.
 */
static bool free_under_run(struct wq_gaps *observer, const struct async_function *work,
			   const char *where, int *late)
{
	struct wq_gaps__bss *g = observer->bss;
	__u64 ended = g->ended, queued;
	struct wq_gaps *victim = NULL;
	struct writer w = {};
	bool ok = false;
	int err, i;

	err = async_stall(1, where, WRITER);
	ok = async_no_place(err);
	if (ok || !ASSERT_OK(err, where) ||
	    !ASSERT_OK(async_stall(0, work->name, WORKER), work->name))
		goto out;
	g->object = g->freed = 0;
	victim = load_victim(observer, false);
	if (!victim || !ASSERT_TRUE(async_wait(async_stalled(0)), "the work function runs"))
		goto out;
	w.prog = victim->progs.start_again;
	w.thread = async_thread(WRITER, writer_thread, &w);
	if (!ASSERT_TRUE(async_wait(async_stalled(1) || w.over), "the start runs"))
		goto out;
	ok = !async_stalled(1);
	if (ok)
		goto out;
	queued = g->queued;
	if (!delete_victim(victim))
		goto out;
	async_stall_go(1);
	pthread_join(w.thread, NULL);
	w.thread = 0;
	ok = true;
	if (g->queued == queued)
		goto out;	/* it was held before it had a reference, or after all */
	(*late)++;
	for (i = 0; i < 3 && !g->freed; i++)
		async_write("grace", "1");
	ok = ASSERT_TRUE(async_stalled(0), "the run is held") &&
	     ASSERT_EQ(g->freed, 0, "freed under a run of the work function");
	async_stall_go(0);
	if (ok)
		ok = ASSERT_TRUE(async_wait(g->ended > ended), "the work function ends") &&
		     ASSERT_TRUE(async_wait_rcu(g->freed), "the object is freed then");
	else
		printf("the start held at %s\n", where);
out:
	async_stall_go(1);
	if (w.thread)
		pthread_join(w.thread, NULL);
	async_stall_end(1);
	async_stall_end(0);
	if (ok && victim)
		ok = ASSERT_TRUE(async_wait(g->ended > ended), "the work function ends");
	wq_gaps__destroy(victim);
	return ok;
}

static void freed_under_run(void)
{
	struct wq_gaps *observer = load_observer(true);
	struct async_function work, f[3];
	int i, n, late = 0;
	char where[300];

	if (!observer)
		return;
	n = async_find_functions(starters, f, 3);
	if (!ASSERT_GT(async_find_functions(work_functions, &work, 1), 0, "the work function") ||
	    !ASSERT_GT(n, 0, "functions of a known name that start it"))
		goto out;
	observer->bss->work_function = work.addr;
	for (i = 0; i < n; i++) {
		struct async_sweep s = { .f = &f[i] };

		while (late < ENOUGH && async_next_offset(&s)) {
			snprintf(where, sizeof(where), "%s+%u", f[i].name, s.offset);
			if (!free_under_run(observer, &work, where, &late))
				goto out;
		}
	}
	printf("%d starts were held between their reference and the work queue\n", late);
	ASSERT_GT(late, 0, "starts that queue the work item of a deleted element");
out:
	wq_gaps__destroy(observer);
}

void serial_test_wq_freed_under_run(void)
{
	if (async_needs_cpus(3))
		async_test(freed_under_run);
}
