/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of bpf_timer and bpf_wq share. */
#ifndef __ASYNC_HELPERS_H
#define __ASYNC_HELPERS_H

#include <test_progs.h>

/*
 * A wait only ends a test that hangs: whether a test passes never depends on
 * how fast the machine is. So a wait is minutes long, and so many turns of this
 * thread at least: where it gets hardly any, others do not either.
 */
#define ASYNC_WAIT_S	120
#define ASYNC_TURNS	1024
/* The kernel frees in grace periods and in the work items after them: so many of RCU. */
#define ASYNC_GRACE_PERIODS	200

struct async_wait {
	__u64 begun;
	int turns;
};

bool async_turn(struct async_wait *w, int turns);

#define __async_wait(cond, turns) ({				\
	struct async_wait ___w = {};				\
	bool ___ok;						\
								\
	while (!(___ok = (cond)) && async_turn(&___w, turns))	\
		;						\
	___ok;							\
})
#define async_wait(cond)	__async_wait(cond, ASYNC_TURNS)
#define async_wait_rcu(cond)	\
	__async_wait((async_sync_rcu(), (cond)), ASYNC_GRACE_PERIODS)

/* No longer than so many turns: something measures how many are due, or tries again. */
#define async_wait_turns(cond, turns) ({			\
	int ___i = (turns);					\
	bool ___ok;						\
								\
	while (!(___ok = (cond)) && ___i--)			\
		async_pause();					\
	___ok;							\
})

struct async_counts {
	int progs, maps;
	long objects;	/* of bpf_map_kmalloc_nolock(); 0 without CONFIG_MEM_ALLOC_PROFILING */
};

struct async_counts async_count(void);
/* Fails unless no more is there than before, some grace periods later. */
bool async_nothing_left(const struct async_counts *before);

/*
 * Run a test or a subtest, with bpf_async_test.ko loaded. When it has passed,
 * no program, map or object may be left that was not there before.
 */
void async_test(void (*test)(void));
/* False, and the test is skipped, unless the machine has them. */
bool async_needs_cpus(int n);
bool async_needs_cmdline(const char *words);
/* Sets it; what it was is in old, to be set again. */
bool async_sysctl(const char *path, const char *value, char *old, size_t size);

void async_pause(void);
void async_sync_rcu(void);
void async_tick(void);		/* a whole tick of this CPU at least */
int async_nr_cpus(void);
bool async_pin(int cpu);
/* A thread that begins on that CPU. */
pthread_t async_thread(int cpu, void *(*fn)(void *), void *arg);

/* Without a reference, which would keep it. */
bool async_prog_exists(__u32 id);
bool async_map_exists(__u32 id);
__u32 async_prog_id(const struct bpf_program *prog);
__u32 async_map_id(const struct bpf_map *map);
/* Run it on a packet with that mark: an error, or what it returns. */
int async_run(const struct bpf_program *prog, __u32 mark);
/*
 * Drop the reference of user space to a map. libbpf closes the number again
 * later, so another file takes it.
 */
bool async_drop_map(const struct bpf_map *map, const struct bpf_map *other);

bool async_is_rust(void);	/* the kernel has CONFIG_BPF_ASYNC_RUST */
/* Not with debug objects, which take a lock, nor without SMP, where there is no memory. */
bool async_can_init_in_nmi(void);
bool async_can_init_atomic(void);	/* not on PREEMPT_RT: memory needs preemption there */
bool async_cancel_waits(void);	/* for a callback that is running: not on PREEMPT_RT */

/* The files of bpf_async_test.ko: 0 or an error. */
int async_write(const char *file, const char *text);
int async_read(const char *file, char *text, size_t size);

/*
 * Hold the next that gets to a place, SYMBOL[+OFFSET], on a CPU or (-1) on any.
 * There are three. async_stall_go() lets it go on, async_stall_end() takes the
 * probe away as well. That and a new place can wait for RCU. What does not is
 * async_stall_again(), for the next that gets to the same place.
 */
int async_stall(int nr, const char *where, int cpu);
/* The same where the fourth argument of a function has these bits. */
int async_stall_args(const char *symbol, int cpu, unsigned long bits);
bool async_stalled(int nr);
void async_stall_go(int nr);
int async_stall_again(int nr);
void async_stall_end(int nr);
/* There is nothing to hold at: no instruction begins there, or none that a probe can be on. */
bool async_no_place(int err);

struct async_function {
	char name[256];
	__u64 addr;
	unsigned int size;
};

/* Those of the kernel with these names (patterns of the shell, NULL at the end); how many. */
int async_find_functions(const char *const *names, struct async_function *f, int max);

/*
 * The offsets of a function, in an order that is even over it at any time: so
 * that some of them are a sample of all.
 */
struct async_sweep {
	const struct async_function *f;
	unsigned int n, offset;
};

bool async_next_offset(struct async_sweep *s);

/* Run a perf_event program whenever the CPU gets to addr. Patches no text. */
struct bpf_link *async_break_at(struct bpf_program *prog, __u64 addr, int cpu);

/* What programs write meanwhile; in a loop without calls the types do not say so. */
#define SEEN(x)	(*(volatile typeof(x) *)&(x))

#endif
