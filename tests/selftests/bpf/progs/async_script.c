// SPDX-License-Identifier: GPL-2.0
/*
 * An interpreter of scripts: the loader writes steps (struct step) into the
 * table and runs them in the context it wants: by test_run from a task, with
 * IRQs off, in an NMI. Two programs, a and b, each with callbacks of its own.
 */
#include "async_common.h"
#include "async_script.h"

struct elem {
	u64 slot;
	struct bpf_timer timer;
	struct bpf_wq wq;
};

#define MAP(name, kind)						\
struct {							\
	__uint(type, kind);					\
	__uint(max_entries, KEYS);				\
	__type(key, int);					\
	__type(value, struct elem);				\
} name SEC(".maps")

MAP(arr, BPF_MAP_TYPE_ARRAY);
MAP(hash, BPF_MAP_TYPE_HASH);
MAP(lru, BPF_MAP_TYPE_LRU_HASH);

struct script scripts[SCRIPTS];
struct element elements[SLOTS];
volatile u32 gate[KEYS];
volatile u32 expired;	/* how many waits ended by themselves */
struct watched watched;

typedef int (*cb_t)(void *map, int *key, struct elem *e);
typedef int (*wq_cb_t)(void *map, int *key, void *e);

static long wait_inner(u64 i, u32 *n)
{
	return gate[*n & (KEYS - 1)] != 0;
}

static long wait_outer(u64 i, u32 *n)
{
	bpf_loop(WAIT_INNER, wait_inner, n, 0);
	return gate[*n & (KEYS - 1)] != 0;
}

static __noinline int wait_gate(u32 n)
{
	bpf_loop(WAIT_OUTER, wait_outer, &n, 0);
	if (gate[n & (KEYS - 1)])
		return 0;
	__sync_fetch_and_add(&expired, 1);
	return -110;
}

/* What a callback may do: all but set_callback, which would name itself. */
static __always_inline long act(void *map, struct elem *e, int *key, u32 op)
{
	struct elem zero = {};

	if (op == OP_DELETE)
		return bpf_map_delete_elem(map, key);
	if (op == OP_UPDATE)
		return bpf_map_update_elem(map, key, &zero, BPF_ANY);
	if (!e)
		return -2;
	switch (op) {
	case T_CANCEL:
		return bpf_timer_cancel(&e->timer);
	case T_CANCEL_ASYNC:
		return bpf_timer_cancel_async(&e->timer);
	case T_START:
		return bpf_timer_start(&e->timer, 0, 0);
	case T_FAR:
		return bpf_timer_start(&e->timer, FAR, 0);
	case W_START:
		return bpf_wq_start(&e->wq, 0);
	}
	return 0;
}

static __always_inline int callback(struct elem *e, u32 prog, bool wq)
{
	struct element *el;
	struct elem *other;
	u64 slot = e->slot;
	u32 op;
	int key;

	if (slot >= SLOTS)
		return 0;
	el = &elements[slot];
	el->fired_ns = bpf_ktime_get_ns();
	el->cpu = bpf_get_smp_processor_id();
	el->prog = prog;
	__sync_fetch_and_add(wq ? &el->w_begun : &el->t_begun, 1);
	if (el->hold)
		wait_gate(el->hold - 1);
	op = el->act_op;
	key = el->act_key;
	if (op && el->act_map == ARR) {
		other = bpf_map_lookup_elem(&arr, &key);
		el->act_ret = act(&arr, other, &key, op);
	} else if (op && el->act_map == HASH) {
		other = bpf_map_lookup_elem(&hash, &key);
		el->act_ret = act(&hash, other, &key, op);
	}
	__sync_fetch_and_add(wq ? &el->w_ended : &el->t_ended, 1);
	return 0;
}

static int timer_a(void *map, int *key, struct elem *e) { return callback(e, 'a', false); }
static int timer_b(void *map, int *key, struct elem *e) { return callback(e, 'b', false); }
static int wq_a(void *map, int *key, void *e) { return callback(e, 'a', true); }
static int wq_b(void *map, int *key, void *e) { return callback(e, 'b', true); }

static __always_inline long watch(struct elem *e)
{
	__builtin_memset(&watched, 0, sizeof(watched));
	watched.object = object_of(&e->timer);
	return watched.object ? 0 : -2;
}

static __always_inline long on_elem(void *map, struct step *s, int *key, cb_t tcb, wq_cb_t wcb)
{
	struct elem *e = bpf_map_lookup_elem(map, key);

	if (s->op == OP_DELETE || s->op == OP_UPDATE)
		return act(map, e, key, s->op);
	if (!e)
		return -2;
	switch (s->op) {
	case T_WATCH:
		return watch(e);
	case T_INIT:
		e->slot = s->map * KEYS + s->key;
		return bpf_timer_init(&e->timer, map, s->flags);
	case T_SET:
		return bpf_timer_set_callback(&e->timer, tcb);
	case T_START:
		return bpf_timer_start(&e->timer, s->nsecs, s->flags);
	case T_CANCEL:
		return bpf_timer_cancel(&e->timer);
	case T_CANCEL_ASYNC:
		return bpf_timer_cancel_async(&e->timer);
	case W_INIT:
		e->slot = s->map * KEYS + s->key;
		return bpf_wq_init(&e->wq, map, s->flags);
	case W_SET:
		return bpf_wq_set_callback(&e->wq, wcb, s->flags);
	case W_START:
		return bpf_wq_start(&e->wq, s->flags);
	}
	return -22;
}

static __always_inline void do_step(struct step *s, cb_t tcb, wq_cb_t wcb, bool in_nmi)
{
	int key = s->key;
	long ret = 0;

	if (s->op == OP_NOP)
		return;
	if (s->op == OP_WAIT)
		ret = wait_gate(s->key);
	else if (s->op == OP_OPEN)
		gate[s->key & (KEYS - 1)] = 1;
	else if (s->op == OP_NMI) {
		if (!in_nmi)
			bpf_async_test_nmi(s->nsecs);
	} else if (s->map == ARR)
		ret = on_elem(&arr, s, &key, tcb, wcb);
	else if (s->map == HASH)
		ret = on_elem(&hash, s, &key, tcb, wcb);
	else
		ret = on_elem(&lru, s, &key, tcb, wcb);
	s->ret = ret;
}

struct loop {
	u32 script;
};

#define PROGRAM(x)							\
static long loop_##x(u64 i, struct loop *l)				\
{									\
	struct script *sc = &scripts[l->script & (SCRIPTS - 1)];	\
									\
	if (i >= STEPS || i >= sc->n)					\
		return 1;						\
	do_step(&sc->s[i], timer_##x, wq_##x, false);			\
	return 0;							\
}									\
									\
SEC("tc")								\
int run_##x(struct __sk_buff *skb)					\
{									\
	struct loop l = { .script = skb->mark & (SCRIPTS - 1) };	\
	struct script *sc = &scripts[l.script];				\
	unsigned long flags;						\
									\
	if (sc->irqs_off) {						\
		bpf_local_irq_save(&flags);				\
		sc->context = bpf_async_test_context();			\
		bpf_loop(STEPS, loop_##x, &l, 0);			\
		bpf_local_irq_restore(&flags);				\
	} else {							\
		sc->context = bpf_async_test_context();			\
		bpf_loop(STEPS, loop_##x, &l, 0);			\
	}								\
	__sync_fetch_and_add(&sc->runs, 1);				\
	return 0;							\
}									\
									\
static long nmi_loop_##x(u64 i, struct loop *l)				\
{									\
	struct script *sc = &scripts[l->script & (SCRIPTS - 1)];	\
									\
	if (i >= STEPS || i >= sc->n)					\
		return 1;						\
	do_step(&sc->s[i], timer_##x, wq_##x, true);			\
	return 0;							\
}									\
									\
SEC("fentry/bpf_async_test_nmi_hook")					\
int BPF_PROG(nmi_##x, u64 arg)						\
{									\
	struct loop l = { .script = arg & (SCRIPTS - 1) };		\
	struct script *sc = &scripts[l.script];				\
									\
	sc->context = bpf_async_test_context();				\
	bpf_loop(STEPS, nmi_loop_##x, &l, 0);				\
	__sync_fetch_and_add(&sc->runs, 1);				\
	return 0;							\
}

PROGRAM(a)
PROGRAM(b)

/*
 * The watching programs: attached by some users only. No other timer starts
 * between T_WATCH and the first start, so that the one nearby is the one meant.
 */
static __always_inline bool is_watched(void *timer)
{
	u64 at = 0;

	if (!watched.object)
		return false;
	/* As a number: the verifier does not let a pointer be reckoned with. */
	bpf_probe_read_kernel(&at, sizeof(at), &timer);
	if (!watched.timer && is_in(at, watched.object))
		watched.timer = at;
	return watched.timer == at;
}

SEC("fentry/hrtimer_start_range_ns")
int BPF_PROG(see_call, struct hrtimer *timer, s64 nsecs)
{
	if (is_watched(timer)) {
		watched.asked = nsecs;
		__sync_fetch_and_add(&watched.calls, 1);
	}
	return 0;
}

SEC("tp_btf/hrtimer_start")
int BPF_PROG(see_start, struct hrtimer *timer, u32 mode)
{
	if (is_watched(timer)) {
		watched.expires = timer->_softexpires;
		watched.mode = mode;
		watched.armed = 1;
		__sync_fetch_and_add(&watched.starts, 1);
	}
	return 0;
}

SEC("tp_btf/hrtimer_cancel")
int BPF_PROG(see_cancel, struct hrtimer *timer)
{
	if (is_watched(timer)) {
		watched.armed = 0;
		__sync_fetch_and_add(&watched.cancels, 1);
	}
	return 0;
}

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(see_expire, struct hrtimer *timer)
{
	if (is_watched(timer)) {
		watched.armed = 0;
		__sync_fetch_and_add(&watched.expiries, 1);
	}
	return 0;
}

/* From now on the address may be another object's. */
static __always_inline int free_of(const void *object)
{
	if (object && (u64)object == watched.object) {
		watched.object = 0;
		watched.freed_armed = watched.armed;
		watched.freed = 1;
	}
	return 0;
}

SEC("tp_btf/kfree")
int BPF_PROG(see_kfree, unsigned long caller, const void *object)
{
	return free_of(object);
}

SEC("fentry/kfree_nolock")
int BPF_PROG(see_kfree_nolock, const void *object)
{
	return free_of(object);
}
