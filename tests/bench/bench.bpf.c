// SPDX-License-Identifier: GPL-2.0
/*
 * One program for each operation. A program does its operation once for every
 * element, each time between two looks at the counter, and leaves how far it
 * went in samples[]. What comes before, and what undoes it, is outside of
 * the two looks.
 */
#include "../selftests/bpf/progs/async_common.h"
#include <bpf/bpf_core_read.h>
#include "bench.h"

extern u64 bpf_async_bench_count(void) __ksym;
extern int bpf_async_bench_nop(u64 nsecs, u64 mode) __ksym;
extern int bpf_async_bench_start(u64 nsecs, u64 mode) __ksym;
extern int bpf_async_bench_try_to_cancel(u64 unused, u64 unused2) __ksym;
extern int bpf_async_bench_queue_work(u64 nr, u64 unused) __ksym;

#define HRTIMER_MODE_ABS_SOFT_	4	/* HRTIMER_MODE_ABS | HRTIMER_MODE_SOFT */
#define HRTIMER_MODE_REL_SOFT_	5	/* HRTIMER_MODE_REL | HRTIMER_MODE_SOFT */
#define HRTIMER_MODE_PINNED_	2

struct t_elem {
	struct bpf_timer timer;
};

struct w_elem {
	struct bpf_wq wq;
};

#define MAP(name, kind, value_, entries)			\
struct {							\
	__uint(type, kind);					\
	__uint(max_entries, entries);				\
	__type(key, int);					\
	__type(value, value_);					\
} name SEC(".maps")

MAP(t_arr, BPF_MAP_TYPE_ARRAY, struct t_elem, MANY);
MAP(w_arr, BPF_MAP_TYPE_ARRAY, struct w_elem, MANY);
MAP(t_hash, BPF_MAP_TYPE_HASH, struct t_elem, ELEMENTS);
MAP(w_hash, BPF_MAP_TYPE_HASH, struct w_elem, ELEMENTS);
MAP(p_hash, BPF_MAP_TYPE_HASH, u64, ELEMENTS);

u32 samples[MANY];
u32 taken;		/* how many samples there are */
u32 wrong;		/* operations that did not return what they should */
s64 wrong_value;
u32 elements;		/* how many the program goes through */

volatile u64 fired;	/* callbacks that ran */
/* Of the last one: the counter in its first line, and around it: see the end. */
volatile u64 mark_begin, mark_entry, mark_end, trace_begin, trace_end;
volatile u64 trace_entered, trace_fired;
/* Whether callbacks look at the counter: not where each look has a meaning (trace). */
const volatile bool marking = true;

static __always_inline void sample(u64 begin, u64 end)
{
	u32 i = taken;

	if (i < MANY) {
		samples[i] = end - begin;
		taken = i + 1;
	}
}

static __always_inline void expect(s64 got, s64 wanted)
{
	if (got != wanted) {
		wrong++;
		wrong_value = got;
	}
}

static int t_fn(void *map, int *key, struct t_elem *e)
{
	if (marking)
		mark_entry = bpf_async_bench_count();
	trace_begin = trace_entered;
	fired++;
	return 0;
}

/* Other code than t_fn, so that they are not merged. */
static int t_fn2(void *map, int *key, struct t_elem *e)
{
	fired += 2;
	return 0;
}

static int w_fn(void *map, int *key, void *e)
{
	if (marking)
		mark_entry = bpf_async_bench_count();
	trace_begin = trace_entered;
	fired++;
	return 0;
}

static int w_fn2(void *map, int *key, void *e)
{
	fired += 2;
	return 0;
}

#define NOTHING do {} while (0)

/* Sixty-four subprograms that are never called, but are there. */
volatile u32 call_all;
#define F1(n)	static __noinline u64 f##n(u64 x) { fired += x; return x + __COUNTER__; }
#define C1(n)	x = f##n(x);
#define EIGHT(M, n)	M(n##0) M(n##1) M(n##2) M(n##3) M(n##4) M(n##5) M(n##6) M(n##7)
#define ALL(M)	EIGHT(M, 0) EIGHT(M, 1) EIGHT(M, 2) EIGHT(M, 3) EIGHT(M, 4) EIGHT(M, 5) EIGHT(M, 6) EIGHT(M, 7)
#define FILL() do {					\
	if (call_all) {					\
		u64 x = 0;				\
		ALL(C1)					\
	}						\
	asm volatile("" ::: "memory");			\
} while (0)

ALL(F1)

/*
 * A program that goes through the elements of an array: BEFORE and AFTER are
 * not counted, OP is. In them: e, the element; key; zero, an empty value.
 */
#define EACH(name, map, type, BEFORE, OP, AFTER)			\
static long name##_one(u64 i, void *ctx)				\
{									\
	int key = i;							\
	__attribute__((unused)) struct type zero = {};			\
	struct type *e = bpf_map_lookup_elem(&map, &key);		\
	__attribute__((unused)) unsigned long flags;			\
	__attribute__((unused)) s64 ret = 0;				\
	u64 begin, end;							\
									\
	if (!e)								\
		return 1;						\
	BEFORE;								\
	begin = bpf_async_bench_count();				\
	OP;								\
	end = bpf_async_bench_count();					\
	sample(begin, end);						\
	AFTER;								\
	return 0;							\
}									\
									\
SEC("tc")								\
int name(struct __sk_buff *skb)						\
{									\
	taken = 0;							\
	bpf_loop(elements, name##_one, NULL, 0);			\
	return 0;							\
}

/* With IRQs off: until the operation has returned, and until it has taken effect. */
#define EACH_OFF(name, map, type, BEFORE, OP, AFTER)			\
EACH(off_##name, map, type, BEFORE; bpf_local_irq_save(&flags),	\
     OP, bpf_local_irq_restore(&flags); AFTER)				\
EACH(done_##name, map, type, BEFORE,					\
     bpf_local_irq_save(&flags); OP; bpf_local_irq_restore(&flags), AFTER)

#define T(name, BEFORE, OP, AFTER)	EACH(name, t_arr, t_elem, BEFORE, OP, AFTER)
#define W(name, BEFORE, OP, AFTER)	EACH(name, w_arr, w_elem, BEFORE, OP, AFTER)
#define T_OFF(name, BEFORE, OP, AFTER)	EACH_OFF(name, t_arr, t_elem, BEFORE, OP, AFTER)
#define W_OFF(name, BEFORE, OP, AFTER)	EACH_OFF(name, w_arr, w_elem, BEFORE, OP, AFTER)

#define T_INIT()	bpf_timer_init(&e->timer, &t_arr, CLOCK_MONOTONIC)
#define T_SET(fn)	bpf_timer_set_callback(&e->timer, fn)
#define T_FAR()		bpf_timer_start(&e->timer, FAR_NS, 0)
#define T_STOP()	bpf_timer_cancel_async(&e->timer)
#define T_FREE()	bpf_map_update_elem(&t_arr, &key, &zero, BPF_ANY)
#define W_FREE()	bpf_map_update_elem(&w_arr, &key, &zero, BPF_ANY)
#define OK		expect(ret, 0)
#define IS(n)		expect(ret, n)

/* What is subtracted: nothing, nothing with IRQs off, nothing with their switching. */
T(empty, NOTHING, NOTHING, NOTHING)
T_OFF(empty, NOTHING, NOTHING, NOTHING)

/* The floor: the kernel's own functions, on a timer and work items of the module. */
T(floor_call, NOTHING, ret = bpf_async_bench_nop(FAR_NS, HRTIMER_MODE_REL_SOFT_), OK)
T(floor_start, bpf_async_bench_try_to_cancel(0, 0),
  ret = bpf_async_bench_start(FAR_NS, HRTIMER_MODE_REL_SOFT_), OK)
T(floor_start_abs, bpf_async_bench_try_to_cancel(0, 0),
  ret = bpf_async_bench_start(FAR_ABS_NS, HRTIMER_MODE_ABS_SOFT_), OK)
T(floor_start_pinned, bpf_async_bench_try_to_cancel(0, 0),
  ret = bpf_async_bench_start(FAR_NS, HRTIMER_MODE_REL_SOFT_ | HRTIMER_MODE_PINNED_), OK)
T(floor_restart, bpf_async_bench_start(FAR_NS, HRTIMER_MODE_REL_SOFT_),
  ret = bpf_async_bench_start(FAR_NS, HRTIMER_MODE_REL_SOFT_), OK)
T(floor_cancel_idle, bpf_async_bench_try_to_cancel(0, 0),
  ret = bpf_async_bench_try_to_cancel(0, 0), OK)
T(floor_cancel, bpf_async_bench_start(FAR_NS, HRTIMER_MODE_REL_SOFT_),
  ret = bpf_async_bench_try_to_cancel(0, 0), IS(1))
T(floor_queue, NOTHING, ret = bpf_async_bench_queue_work(key, 0), IS(1))
T(floor_queue_pending, bpf_async_bench_queue_work(key, 0),
  ret = bpf_async_bench_queue_work(key, 0), OK)

/* Timers. Each begins with timers as t_ready or t_unset left them. */
T(t_unset, T_FREE(); ret = T_INIT(), NOTHING, OK)
T(t_ready, T_FREE(); T_INIT(); ret = T_SET(t_fn), NOTHING, OK)
T(t_armed, T_FREE(); T_INIT(); T_SET(t_fn); ret = T_FAR(), NOTHING, OK)
T(t_init, T_FREE(), ret = T_INIT(), OK)
T(t_set_first, T_FREE(); T_INIT(), ret = T_SET(t_fn), OK)
T(t_set_same, T_SET(t_fn), ret = T_SET(t_fn), OK)
T(t_set_fn, T_SET(t_fn), ret = T_SET(t_fn2), OK)
T(t_set_other, NOTHING, ret = T_SET(t_fn2), OK)	/* t_ready was another program */
/* Subprograms are in the order in which instructions refer to them: the callbacks last. */
T(t_set_far, FILL(); T_SET(t_fn), ret = T_SET(t_fn2), OK)
/* Stopped afterwards: not a word about how the kernel's tree of timers is balanced. */
T(t_start, T_STOP(), ret = T_FAR(), T_STOP(); OK)
T(t_restart, T_FAR(), ret = T_FAR(), T_STOP(); OK)
T(t_start_abs, T_STOP(), ret = bpf_timer_start(&e->timer, FAR_ABS_NS, BPF_F_TIMER_ABS),
  T_STOP(); OK)
T(t_start_pinned, T_STOP(), ret = bpf_timer_start(&e->timer, FAR_NS, BPF_F_TIMER_CPU_PIN),
  T_STOP(); OK)
T(t_cancel, T_SET(t_fn); T_FAR(), ret = bpf_timer_cancel(&e->timer), IS(1))
T(t_cancel_idle, T_STOP(); T_SET(t_fn), ret = bpf_timer_cancel(&e->timer), OK)
T(t_cancel_unset, bpf_timer_cancel(&e->timer), ret = bpf_timer_cancel(&e->timer), OK)
T(t_async, T_FAR(), ret = T_STOP(), IS(1))
T(t_async_idle, T_STOP(), ret = T_STOP(), OK)
T(t_set_start_cancel, bpf_timer_cancel(&e->timer),
  ret = T_SET(t_fn); ret |= T_FAR(); ret |= bpf_timer_cancel(&e->timer) << 8, IS(256))
T(t_free_none, T_FREE(), ret = T_FREE(), OK)
T(t_free_unset, T_FREE(); T_INIT(), ret = T_FREE(), OK)
T(t_free_idle, T_FREE(); T_INIT(); T_SET(t_fn), ret = T_FREE(), OK)
T(t_free_armed, NOTHING, ret = T_FREE(), OK)	/* t_armed armed all of them */

T_OFF(t_init, T_FREE(), ret = T_INIT(), OK)
T_OFF(t_set_same, T_SET(t_fn), ret = T_SET(t_fn), OK)
T_OFF(t_set_other, NOTHING, ret = T_SET(t_fn2), OK)
T_OFF(t_start, T_STOP(), ret = T_FAR(), T_STOP(); OK)
T_OFF(t_restart, T_FAR(), ret = T_FAR(), T_STOP(); OK)
T_OFF(t_async, T_FAR(), ret = T_STOP(), IS(-125))
T_OFF(t_free_none, T_FREE(), ret = T_FREE(), OK)
T_OFF(t_free_armed, T_FREE(); T_INIT(); T_SET(t_fn); T_FAR(), ret = T_FREE(), OK)

/* Work items. */
#define W_INIT()	bpf_wq_init(&e->wq, &w_arr, 0)
#define W_SET(fn)	bpf_wq_set_callback(&e->wq, fn, 0)
#define W_START()	bpf_wq_start(&e->wq, 0)

W(w_ready, W_FREE(); W_INIT(); ret = W_SET(w_fn), NOTHING, OK)
W(w_init, W_FREE(), ret = W_INIT(), OK)
W(w_set_first, W_FREE(); W_INIT(), ret = W_SET(w_fn), OK)
W(w_set_same, W_SET(w_fn), ret = W_SET(w_fn), OK)
W(w_set_other, NOTHING, ret = W_SET(w_fn2), OK)
W(w_start, NOTHING, ret = W_START(), OK)
W(w_start_pending, W_START(), ret = W_START(), OK)
W(w_free_none, W_FREE(), ret = W_FREE(), OK)
W(w_free_idle, W_FREE(); W_INIT(); W_SET(w_fn), ret = W_FREE(), OK)
W(w_free_pending, W_FREE(); W_INIT(); W_SET(w_fn); W_START(), ret = W_FREE(), OK)
W_OFF(w_init, W_FREE(), ret = W_INIT(), OK)
W_OFF(w_set_same, W_SET(w_fn), ret = W_SET(w_fn), OK)
W_OFF(w_start, NOTHING, ret = W_START(), OK)
W_OFF(w_start_pending, W_START(), ret = W_START(), OK)
W_OFF(w_free_pending, W_FREE(); W_INIT(); W_SET(w_fn); W_START(), ret = W_FREE(), OK)

/* The whole life of an element of a hash map, and of one without anything in it. */
static __always_inline s64 p_life(int *key)
{
	u64 zero = 0;
	s64 ret = bpf_map_update_elem(&p_hash, key, &zero, BPF_NOEXIST);

	if (!bpf_map_lookup_elem(&p_hash, key))
		return -1;
	return ret | bpf_map_delete_elem(&p_hash, key);
}

static __always_inline s64 t_life(int *key)
{
	struct t_elem zero = {}, *v;
	s64 ret = bpf_map_update_elem(&t_hash, key, &zero, BPF_NOEXIST);

	v = bpf_map_lookup_elem(&t_hash, key);
	if (!v)
		return -1;
	ret |= bpf_timer_init(&v->timer, &t_hash, CLOCK_MONOTONIC);
	ret |= bpf_timer_set_callback(&v->timer, t_fn);
	ret |= bpf_timer_start(&v->timer, FAR_NS, 0);
	return ret | bpf_map_delete_elem(&t_hash, key);
}

static __always_inline s64 w_life(int *key)
{
	struct w_elem zero = {}, *v;
	s64 ret = bpf_map_update_elem(&w_hash, key, &zero, BPF_NOEXIST);

	v = bpf_map_lookup_elem(&w_hash, key);
	if (!v)
		return -1;
	ret |= bpf_wq_init(&v->wq, &w_hash, 0);
	ret |= bpf_wq_set_callback(&v->wq, w_fn, 0);
	ret |= bpf_wq_start(&v->wq, 0);
	return ret | bpf_map_delete_elem(&w_hash, key);
}

T(p_life_one, NOTHING, ret = p_life(&key), OK)
T(t_life_one, NOTHING, ret = t_life(&key), OK)
W(w_life_one, NOTHING, ret = w_life(&key), OK)
T_OFF(t_life_one, NOTHING, ret = t_life(&key), OK)
W_OFF(w_life_one, NOTHING, ret = w_life(&key), OK)

/*
 * Fire. The timer expires while IRQs are off, so that its interrupt comes right
 * when they are enabled, and with it the softirq: this program is not in one.
 */
static long spin(u64 i, u64 *until)
{
	return bpf_async_bench_count() >= *until;
}

SEC("syscall")
int t_fire(void *ctx)
{
	int key = 0;
	struct t_elem *e = bpf_map_lookup_elem(&t_arr, &key);
	unsigned long flags;
	u64 begin, end, until;

	if (!e)
		return 0;
	bpf_timer_start(&e->timer, 3000, 0);
	bpf_local_irq_save(&flags);
	until = bpf_async_bench_count() + 20000;
	bpf_loop(10000, spin, &until, 0);
	begin = bpf_async_bench_count();
	bpf_local_irq_restore(&flags);
	end = bpf_async_bench_count();
	mark_begin = begin;
	mark_end = end;
	return 0;
}

/* The work item runs when the loader gives up the CPU. */
SEC("syscall")
int w_run(void *ctx)
{
	int key = 0;
	struct w_elem *e = bpf_map_lookup_elem(&w_arr, &key);

	if (e)
		expect(W_START(), 0);
	return 0;
}

/*
 * Right before and right after the kernel calls the function of any timer or
 * work item. What is around one of our callbacks is kept.
 */
#define TRACE(name, before, after)			\
SEC("raw_tp/" before)					\
int trace_##name##_before(void *ctx)			\
{							\
	trace_entered = bpf_async_bench_count();	\
	return 0;					\
}							\
							\
SEC("raw_tp/" after)					\
int trace_##name##_after(void *ctx)			\
{							\
	u64 now = bpf_async_bench_count();		\
							\
	if (trace_fired != fired) {			\
		trace_fired = fired;			\
		trace_end = now;			\
	}						\
	return 0;					\
}

TRACE(timer, "hrtimer_expire_entry", "hrtimer_expire_exit")
TRACE(work, "workqueue_execute_start", "workqueue_execute_end")

/* Whose task_struct the kernel writes to while the operations run. */
u64 task;
u32 task_size;

SEC("syscall")
int who(void *ctx)
{
	task = bpf_get_current_task();
	task_size = bpf_core_type_size(struct task_struct);
	return 0;
}
