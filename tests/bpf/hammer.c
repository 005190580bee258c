// SPDX-License-Identifier: GPL-2.0
/* The hammer: see hammer.bpf.c. REGRESS_SEED repeats a load. */
#include <pthread.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "hammer.h"
#include "hammer.skel.h"

#define ROUND		5	/* seconds with one set of programs and maps */
#define THREADS		8	/* two a CPU, one of each program */

static const char *const kinds[KINDS] = {
	"init", "set_callback", "start", "cancel", "cancel_async",
	"wq init", "wq set_callback", "wq start", "delete", "update",
};

struct thread {
	pthread_t id;
	int fd, cpu, err;
	unsigned long runs;
	volatile bool *stop;
};

static uint64_t totals[KINDS * WHERES], fired[4];

static void *hammer_thread(void *arg)
{
	struct thread *t = arg;

	pin_cpu(t->cpu);
	while (!*t->stop && !t->err) {
		t->err = run_prog(t->fd, t->runs & 1);
		t->runs++;
	}
	return NULL;
}

static void add_up(const struct hammer_bpf__bss *g)
{
	int i;

	for (i = 0; i < KINDS * WHERES; i++)
		totals[i] += g->done[i];
	for (i = 0; i < 4; i++)
		fired[i] += g->fired[i];
}

static const char *one_round(uint64_t seed, double seconds)
{
	struct hammer_bpf *sk = hammer_bpf__open_and_load();
	struct thread t[THREADS] = {};
	volatile bool stop = false;
	const char *err = NULL;
	uint64_t end;
	int i;

	if (!sk || hammer_bpf__attach(sk)) {
		hammer_bpf__destroy(sk);
		return fail("cannot load hammer.bpf.o");
	}
	for (i = 0; i < MAX_CPUS * WHERES; i++)
		sk->bss->seeds[i] = seed + i * 0x9e3779b97f4a7c15ULL ?: 1;
	for (i = 0; i < THREADS; i++) {
		t[i].fd = bpf_program__fd(i & 1 ? sk->progs.hammer_a : sk->progs.hammer_b);
		t[i].cpu = i / 2 % cpu_count();
		t[i].stop = &stop;
		if (pthread_create(&t[i].id, NULL, hammer_thread, &t[i]))
			abort();
	}
	end = now_ns() + seconds * 1e9;
	while (now_ns() < end)
		poll_pause();
	stop = true;
	for (i = 0; i < THREADS; i++) {
		pthread_join(t[i].id, NULL);
		if (t[i].err)
			err = fail("test_run: %d", t[i].err);
	}
	add_up(sk->bss);
	for (i = 0; i < KINDS && !err; i++)
		if (sk->bss->odd[i])
			err = fail("%s answered %lld", kinds[i], (long long)sk->bss->odd_value[i]);
	if (!err && sk->bss->torn)
		err = fail("%llu callbacks saw another element",
			   (unsigned long long)sk->bss->torn);
	hammer_bpf__destroy(sk);	/* what is armed or pending goes with it */
	return err;
}

static const char *hammer(int seconds)
{
	uint64_t end = now_ns() + seconds * 1000000000ULL;
	const char *text = getenv("REGRESS_SEED"), *err = NULL;
	uint64_t seed = text ? strtoull(text, NULL, 0) : now_ns() | 1, round = 0;
	int i;

	say("seed %llu, %d CPUs, %d s", (unsigned long long)seed, cpu_count(), seconds);
	while (now_ns() < end && !err) {
		double left = (end - now_ns()) / 1e9;

		err = one_round(seed + round++, left < ROUND ? left : ROUND);
	}
	say("%-16s %10s %10s %10s", "", "task", "IRQs off", "NMI");
	for (i = 0; i < KINDS; i++)
		say("%-16s %10llu %10llu %10llu", kinds[i],
		    (unsigned long long)totals[W_TASK * KINDS + i],
		    (unsigned long long)totals[W_IRQS_OFF * KINDS + i],
		    (unsigned long long)totals[W_NMI * KINDS + i]);
	say("callbacks: timers %llu + %llu, work %llu + %llu, rounds %llu",
	    (unsigned long long)fired[0], (unsigned long long)fired[1],
	    (unsigned long long)fired[2], (unsigned long long)fired[3],
	    (unsigned long long)round);
	if (!err)
		for (i = 0; i < KINDS * WHERES; i++)
			if (!totals[i])
				err = fail("%s was never done in context %d", kinds[i % KINDS],
					   i / KINDS);
	return err;
}

const struct test hammer_tests[] = {
	{ "hammer", hammer, "all operations on the same elements from all CPUs and contexts",
	  .own_boot = true, .seconds = 60 },
	{}
};
