/* SPDX-License-Identifier: GPL-2.0 */
/* The operations that are measured, in the order of the table. */
#ifndef OPS_H
#define OPS_H

struct operation {
	const char *name;
	const char *prog;	/* in bench.bpf.c */
	const char *base;	/* the program whose result is subtracted */
	const char *before;	/* the program that makes the elements ready, or NULL */
	unsigned int elements;	/* 0: ELEMENTS */
	const char *mark;	/* of a callback: between which two looks at the counter */
	const char *trace;	/* with the tracepoints around it */
	const char *floor;	/* the bare call of the kernel that it comes down to, or NULL */
	int destroy;		/* end the map instead of running prog */
	int about;		/* the kernel's own doings are in it: not exact */
	const char *what;
};

/*
 * Where objects are allocated: no more than the allocator has at hand on a CPU,
 * because what it does to get more is none of our business.
 */
#define FEW	15

#define ON	"empty"
#define OFF	"off_empty"
#define DONE	"done_empty"

static const struct operation ops[] = {
	{ "floor call", "floor_call", ON, .what = "an empty kfunc with two arguments" },
	{ "floor start", "floor_start", ON, .what = "hrtimer_start(), stopped" },
	{ "floor start abs", "floor_start_abs", ON, .what = "hrtimer_start(), stopped, HRTIMER_MODE_ABS_SOFT" },
	{ "floor start pinned", "floor_start_pinned", ON, .what = "hrtimer_start(), stopped, with HRTIMER_MODE_PINNED" },
	{ "floor re-arm", "floor_restart", ON, .what = "hrtimer_start(), started" },
	{ "floor cancel", "floor_cancel", ON, .what = "hrtimer_try_to_cancel(), started" },
	{ "floor cancel idle", "floor_cancel_idle", ON, .what = "hrtimer_try_to_cancel(), stopped" },
	{ "floor queue", "floor_queue", ON, .what = "schedule_work(), idle" },
	{ "floor queue pending", "floor_queue_pending", ON, .what = "schedule_work(), pending" },

	{ "init", "t_init", ON, .elements = FEW, .floor = "floor call", .what = "bpf_timer_init()" },
	{ "set first", "t_set_first", ON, .elements = FEW, .floor = "floor call", .what = "set_callback(), none before" },
	{ "set same", "t_set_same", ON, "t_ready", .floor = "floor call", .what = "set_callback(), the same" },
	{ "set function", "t_set_fn", ON, "t_ready", .floor = "floor call", .what = "set_callback(), another function of the program" },
	{ "set far", "t_set_far", ON, "t_ready", .floor = "floor call", .what = "set_callback(), another function, the last of 66" },
	{ "set program", "t_set_other", ON, "t_ready", .floor = "floor call", .what = "set_callback(), another program's before" },
	{ "start", "t_start", ON, "t_ready", .floor = "floor start", .what = "start(), stopped" },
	{ "re-arm", "t_restart", ON, "t_ready", .floor = "floor re-arm", .what = "start(), started" },
	{ "start abs", "t_start_abs", ON, "t_ready", .floor = "floor start abs", .what = "start(), BPF_F_TIMER_ABS" },
	{ "start pinned", "t_start_pinned", ON, "t_ready", .floor = "floor start pinned", .what = "start(), BPF_F_TIMER_CPU_PIN" },
	{ "cancel", "t_cancel", ON, "t_ready", .floor = "floor cancel", .what = "cancel(), started" },
	{ "cancel idle", "t_cancel_idle", ON, "t_ready", .floor = "floor cancel idle", .what = "cancel(), stopped" },
	{ "cancel unset", "t_cancel_unset", ON, "t_ready", .floor = "floor call", .what = "cancel(), no callback" },
	{ "cancel_async", "t_async", ON, "t_ready", .floor = "floor cancel", .what = "cancel_async(), started" },
	{ "cancel_async idle", "t_async_idle", ON, "t_ready", .floor = "floor cancel idle", .what = "cancel_async(), stopped" },
	{ "set+start+cancel", "t_set_start_cancel", ON, "t_ready", .what = "the three, no callback before" },
	{ "free unset", "t_free_unset", "t_free_none", .elements = FEW, .what = "cancel_and_free(), no callback" },
	{ "free idle", "t_free_idle", "t_free_none", .elements = FEW, .floor = "floor cancel idle", .what = "cancel_and_free(), stopped" },
	{ "free 1", "t_free_armed", "t_free_none", "t_armed", 1, .floor = "floor cancel", .what = "cancel_and_free(), started, the only one" },
	{ "free 1k", "t_free_armed", "t_free_none", "t_armed", 1000, .about = 1, .what = "cancel_and_free(), started, one of 1000" },
	/* Not 100k by a program: RCU could not begin a grace period meanwhile, and each asks for one. */
	{ "destroy 1k", "", ON, "t_armed", 1000, .destroy = 1, .about = 1,
	  .what = "end of an array with 1000 timers, for each" },
	{ "destroy 100k", "", ON, "t_armed", MANY, .destroy = 1, .about = 1,
	  .what = "end of an array with 100000 timers, for each" },
	{ "fire entry", "t_fire", ON, "t_ready", .mark = "entry", .what = "interrupt to callback" },
	{ "fire", "t_fire", ON, "t_ready", .mark = "whole", .what = "interrupt and softirq, with callback" },
	{ "fire fn entry", "t_fire", ON, "t_ready", .mark = "function_entry", .trace = "timer",
	  .what = "timer function to callback, traced" },
	{ "fire fn", "t_fire", ON, "t_ready", .mark = "function", .trace = "timer",
	  .what = "timer function, with callback, traced" },
	{ "life none", "p_life_one", ON, .elements = FEW, .what = "hash element without a timer: insert, look up, delete" },
	{ "life", "t_life_one", ON, .elements = FEW, .floor = "life none", .what = "hash element: insert, look up, init, set, start, delete" },

	{ "wq init", "w_init", ON, .elements = FEW, .floor = "floor call", .what = "bpf_wq_init()" },
	{ "wq set first", "w_set_first", ON, .elements = FEW, .floor = "floor call", .what = "wq set_callback(), none before" },
	{ "wq set same", "w_set_same", ON, "w_ready", .floor = "floor call", .what = "wq set_callback(), the same" },
	{ "wq set program", "w_set_other", ON, "w_ready", .floor = "floor call", .what = "wq set_callback(), another program's before" },
	{ "wq start", "w_start", ON, "w_ready", .floor = "floor queue", .what = "wq start(), idle" },
	{ "wq start pending", "w_start_pending", ON, "w_ready", .floor = "floor queue pending", .what = "wq start(), pending" },
	{ "wq run entry", "w_run", ON, "w_ready", .mark = "function_entry", .trace = "work",
	  .what = "work function to callback, traced" },
	{ "wq run", "w_run", ON, "w_ready", .mark = "function", .trace = "work",
	  .what = "work function, with callback, traced" },
	{ "wq free idle", "w_free_idle", "w_free_none", .elements = FEW, .what = "wq cancel_and_free(), idle" },
	{ "wq free pending", "w_free_pending", "w_free_none", .elements = FEW, .what = "wq cancel_and_free(), pending" },
	{ "wq life", "w_life_one", ON, .elements = FEW, .floor = "life none", .what = "hash element: insert, look up, init, set, start, delete" },

	{ "off init", "off_t_init", OFF, .elements = FEW, .what = "IRQs off: init()" },
	{ "off set same", "off_t_set_same", OFF, "t_ready", .what = "IRQs off: set_callback(), the same" },
	{ "off set program", "off_t_set_other", OFF, "t_ready", .what = "IRQs off: set_callback(), another program's before" },
	{ "off start", "off_t_start", OFF, "t_ready", .what = "IRQs off: start(), stopped, until it returns" },
	{ "off start done", "done_t_start", DONE, "t_ready", .floor = "floor start", .what = "IRQs off: start(), stopped, until it is armed" },
	{ "off re-arm", "off_t_restart", OFF, "t_ready", .what = "IRQs off: start(), started, until it returns" },
	{ "off re-arm done", "done_t_restart", DONE, "t_ready", .floor = "floor re-arm", .what = "IRQs off: start(), started, until it is armed" },
	{ "off cancel_async", "off_t_async", OFF, "t_ready", .what = "IRQs off: cancel_async(), until it returns" },
	{ "off cancel_async done", "done_t_async", DONE, "t_ready", .floor = "floor cancel", .what = "IRQs off: cancel_async(), until it is stopped" },
	{ "off free", "off_t_free_armed", "off_t_free_none", .elements = FEW, .what = "IRQs off: cancel_and_free(), started, until it returns" },
	{ "off free done", "done_t_free_armed", "done_t_free_none", .elements = FEW, .floor = "floor cancel", .what = "IRQs off: cancel_and_free(), started, until it is stopped" },
	{ "off life", "off_t_life_one", OFF, .elements = FEW, .what = "IRQs off: the hash element's life, until it returns" },
	{ "off life done", "done_t_life_one", DONE, .elements = FEW, .what = "IRQs off: the hash element's life, until it is done" },
	{ "off wq init", "off_w_init", OFF, .elements = FEW, .what = "IRQs off: wq init()" },
	{ "off wq set same", "off_w_set_same", OFF, "w_ready", .what = "IRQs off: wq set_callback(), the same" },
	{ "off wq start", "off_w_start", OFF, "w_ready", .what = "IRQs off: wq start(), idle, until it returns" },
	{ "off wq start done", "done_w_start", DONE, "w_ready", .floor = "floor queue", .what = "IRQs off: wq start(), idle, until it is queued" },
	{ "off wq pending", "off_w_start_pending", OFF, "w_ready", .what = "IRQs off: wq start(), pending, until it returns" },
	{ "off wq pending done", "done_w_start_pending", DONE, "w_ready", .floor = "floor queue pending", .what = "IRQs off: wq start(), pending, until it is done" },
	{ "off wq free", "off_w_free_pending", "off_t_free_none", .elements = FEW, .what = "IRQs off: wq cancel_and_free(), pending, until it returns" },
	{ "off wq free done", "done_w_free_pending", "done_t_free_none", .elements = FEW, .what = "IRQs off: wq cancel_and_free(), pending, until it is done" },
	{ "off wq life", "off_w_life_one", OFF, .elements = FEW, .what = "IRQs off: the hash element's life with a wq, until it returns" },
	{ "off wq life done", "done_w_life_one", DONE, .elements = FEW, .what = "IRQs off: the hash element's life with a wq, until it is done" },
	{}
};

#endif
