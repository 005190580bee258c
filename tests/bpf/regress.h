/* SPDX-License-Identifier: GPL-2.0 */
/* The loader's own interface: cases, waiting, counting, running scripts. */
#ifndef REGRESS_H
#define REGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#include "shared.h"

struct bpf_link;
struct bpf_program;

/* A case returns NULL when it passed, else the reason, from fail(), skip() or lost(). */
struct test {
	const char *name;
	const char *(*run)(int seconds);
	const char *what;
	const char *append;	/* kernel command line it needs, or NULL */
	/*
	 * Of the reason or report when it fails on the stock C kernel: a bug can end in
	 * more than one way, and each has its words here, separated by |.
	 */
	const char *c_says;
	const char *known;	/* the same of a limit that both kernels have: never a pass */
	int cpus;		/* of the virtual machine; 0: any number from 4 */
	bool own_boot;		/* may crash a kernel that has the bug */
	bool one_thread;	/* patches text that other CPUs run: vm.py --one-thread */
	int seconds;		/* default length; 0 when it ends by itself */
};

/* Ends with an entry without a name. One table per file. */
extern const struct test lifetime_tests[], gaps_tests[], freed_tests[], semantics_tests[],
	refs_tests[], races_tests[], waits_tests[], lockup_tests[], hrtimer_tests[], many_tests[],
	nmi_tests[], flood_tests[], meet_tests[], past_tests[], underlock_tests[], renew_tests[],
	inits_tests[], tools_tests[], traced_tests[], small_tests[], stale_tests[], stress_tests[];
const struct test *find_test(const char *name);
const char *one_cpu_answers(void);	/* hrtimer.c: the part of H26 that one CPU is enough for */

const char *fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* As fail(), where a CPU does not come back: nothing can be taken down, and no case follows. */
const char *lost(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Ends the run, skipping the case, unless the machine has n CPUs; the next boot goes on with the next case. */
void needs_cpus(int n);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define TRY(expr) do { const char *why_ = (expr); if (why_) return why_; } while (0)

/* End the function with a reason unless cond holds; go to out with err set. */
#define CHECK(cond, ...) do {			\
	if (!(cond)) {				\
		err = fail(__VA_ARGS__);	\
		goto out;			\
	}					\
} while (0)

/* What programs write meanwhile; in a loop without calls the skeletons' types do not say so. */
#define SEEN(x)	(*(volatile __typeof__(x) *)&(x))

/* util.c: time and events */
uint64_t now_ns(void);
void rcu_wait(void);		/* an RCU grace period of the kernel */
void tick_wait(void);		/* of one CPU: a whole tick at least */
/* Poll cond, which user space sees change, until it holds: false after s. */
#define WAIT_UNTIL(cond, s) ({					\
	uint64_t end_ = now_ns() + (uint64_t)((s) * 1e9);	\
	bool ok_;						\
	while (!(ok_ = (cond)) && now_ns() < end_)		\
		poll_pause();					\
	ok_;							\
})
void poll_pause(void);
bool pin_cpu(int cpu);
/* A thread that begins on that CPU. */
pthread_t thread_on(int cpu, void *(*function)(void *), void *arg);
int cpu_count(void);
bool cmdline_has(const char *word);
bool can_init_in_nmi(void);	/* not with debug objects: neither C nor Rust */

/* util.c: what is loaded */
struct counts {
	int progs, maps;
	long objects;	/* live bpf_map_kmalloc_nolock() objects, -1: unknown */
};
struct counts count_all(void);
/* main.c: NULL when no more is there than before, after a while at the most. */
const char *nothing_left(struct counts before);
bool prog_exists(__u32 id);
bool map_exists(__u32 id);
__u32 prog_id(int fd);
__u32 map_id(int fd);

/* util.c: running programs and the test module */
int run_prog(int fd, __u32 mark);
int load_module(void);
int module_write(const char *file, const char *text);
int module_read(const char *file, char *buf, size_t size);
/* Hold the next call of symbol on cpu whose fourth argument has the bits. */
const char *stall(const char *symbol, int cpu, unsigned long bits);
bool stalled(void);
void stall_release(void);
/*
 * Three of them: hold the next that gets to SYMBOL+OFFSET, on that CPU or (-1)
 * on any. go lets it go on; end also takes the probe away. That and a new place
 * can wait for RCU; again, for the next that gets to the same place, does not.
 */
int stall_at(int nr, const char *where, int cpu);
bool stalled_at(int nr);
void stall_go(int nr);
int stall_again(int nr);
void stall_end(int nr);
struct function {
	char name[256];
	uint64_t addr;
	unsigned int size;
};
/* Those of the kernel with these names (the shell's patterns; NULL is the last). */
int find_functions(const char *const *names, struct function *f, int max);
/* Run the program, of the type perf_event, whenever the CPU gets to address. Patches no text. */
struct bpf_link *break_at(struct bpf_program *p, uint64_t address, int cpu);
bool is_rust(void);	/* the kernel has the Rust code */

/* script.c: the interpreter in script.bpf.c */
struct script_bpf;
enum { PROG_A, PROG_B };
enum { IRQS_ON, IRQS_OFF, IN_NMI };

/* Load it; nmi says whose program runs in the NMI. NULL and a message: failed. */
struct script_bpf *script_load(int nmi);
void script_unload(struct script_bpf *sk);
/* Steps into slot nr, run by prog in that context, results in the slot. */
struct script *script_put(struct script_bpf *sk, int nr, const struct step *s, int n);
int script_exec(struct script_bpf *sk, int nr, int prog, int context);
struct script *script_run(struct script_bpf *sk, int prog, int context,
			  const struct step *s, int n);
/* One step from task context: its return value. */
long one(struct script_bpf *sk, int prog, struct step s);
struct element *element(struct script_bpf *sk, int map, int key);
/* A second instance over the maps of the first. */
struct script_bpf *script_load_sharing(struct script_bpf *sk, int nmi);
__u32 script_prog_id(struct script_bpf *sk, int prog);
void gate_open(struct script_bpf *sk, int gate);
void gate_close(struct script_bpf *sk, int gate);
u32 waits_begun(struct script_bpf *sk);
/* Drop the loader's reference, the last one of user space. */
bool drop_map(struct script_bpf *sk, int map);

/* A script, already put into slot nr, in a thread of its own on one CPU. */
struct runner {
	struct script_bpf *sk;
	int nr, prog, context, cpu;
	bool loop;
	volatile bool waits, stop;	/* begin when it no longer waits */
	volatile unsigned long runs;
	int err;
	unsigned long thread;
};
void runner_start(struct runner *r);
int runner_join(struct runner *r);	/* 0, or the error of test_run */

#define STEP(op_, map_, key_, ...) \
	((struct step){ .op = op_, .map = map_, .key = key_, __VA_ARGS__ })
#define RUN(sk, prog, context, ...) ({					\
	struct step steps_[] = { __VA_ARGS__ };				\
	script_run(sk, prog, context, steps_, sizeof(steps_) / sizeof(*steps_)); \
})

#endif
