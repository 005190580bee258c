// SPDX-License-Identifier: GPL-2.0
/* H1, H2: what a running wq callback uses must stay. */
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "lifetime.skel.h"

#define GRACE_PERIODS	10

/* The globals of the programs, kept alive by a mapping of our own. */
static struct lifetime_bpf__bss *keep_globals(struct lifetime_bpf *sk)
{
	void *mem = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
			 bpf_map__fd(sk->maps.bss), 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void let_globals_go(struct lifetime_bpf__bss *g)
{
	munmap(g, sysconf(_SC_PAGESIZE));
}

/*
 * After each of some grace periods the callback must be seen to have gone on.
 * The kernel frees a program or map after one, and a work item later.
 */
static const char *callback_goes_on(struct lifetime_bpf__bss *g)
{
	uint64_t before;
	int i;

	for (i = 0; i < GRACE_PERIODS; i++) {
		rcu_wait();
		before = g->ticks;
		if (!WAIT_UNTIL(g->ticks > before + 1000 || g->broken, 20))
			return fail("the callback stopped after %d grace periods", i + 1);
		if (g->broken)
			return fail("the value changed under the callback after %d grace periods",
				    i + 1);
	}
	return NULL;
}

static const char *callback_ends(struct lifetime_bpf__bss *g)
{
	g->stop = 1;
	if (!WAIT_UNTIL(g->ended == g->begun, 20))
		return fail("the callback did not end");
	return g->broken ? fail("the value changed under the callback") : NULL;
}

static const char *h1(int seconds)
{
	/*
	 * A bystander keeps the JIT's page in use, as on any real machine, so
	 * that text which is freed is overwritten with int3, not unmapped.
	 */
	struct lifetime_bpf *bystander = lifetime_bpf__open_and_load();
	struct lifetime_bpf *sk = lifetime_bpf__open_and_load();
	struct lifetime_bpf__bss *g = NULL;
	const char *err = NULL;
	__u32 id;

	CHECK(sk && bystander, "cannot load lifetime.bpf.o");
	g = keep_globals(sk);
	CHECK(g, "cannot map the globals");
	id = prog_id(bpf_program__fd(sk->progs.arm_plain));
	run_prog(bpf_program__fd(sk->progs.arm_plain), 0);
	CHECK(!g->result, "arming the wq: %d", g->result);
	CHECK(WAIT_UNTIL(g->begun, 10), "the callback did not begin");

	/* Close the program and the map under it. */
	lifetime_bpf__destroy(sk);
	sk = NULL;
	err = callback_goes_on(g);
	if (!err && !prog_exists(id))
		err = fail("the program is gone while its callback runs");
	if (err)
		goto out;
	err = callback_ends(g);
	if (!err && !WAIT_UNTIL((rcu_wait(), !prog_exists(id)), 20))
		err = fail("the program is still there after its callback has ended");
out:
	if (g) {
		g->stop = 1;
		let_globals_go(g);
	}
	lifetime_bpf__destroy(sk);
	lifetime_bpf__destroy(bystander);
	return err;
}

static const char *h2(int seconds)
{
	struct lifetime_bpf *sk = lifetime_bpf__open();
	struct lifetime_bpf__bss *g = NULL;
	const char *err = NULL;
	int inner, key = 0;
	__u32 id;

	if (!sk || lifetime_bpf__load(sk)) {
		lifetime_bpf__destroy(sk);
		return fail("cannot load lifetime.bpf.o");
	}
	g = sk->bss;
	inner = bpf_map__fd(sk->maps.inner);
	id = map_id(inner);
	run_prog(bpf_program__fd(sk->progs.arm_inner), 0);
	CHECK(!g->result, "arming the wq: %d", g->result);
	CHECK(WAIT_UNTIL(g->begun, 10), "the callback did not begin");

	/*
	 * The outer map and the loader held it: both let go, the program stays.
	 * libbpf closes the number again later, so another file takes it.
	 */
	CHECK(!bpf_map_delete_elem(bpf_map__fd(sk->maps.outer), &key), "removing the inner map");
	CHECK(dup2(bpf_map__fd(sk->maps.bss), inner) == inner, "closing the inner map");
	err = callback_goes_on(g);
	if (!err && !map_exists(id))
		err = fail("the map is gone while the callback uses it");
	if (err)
		goto out;
	err = callback_ends(g);
	if (!err && !WAIT_UNTIL((rcu_wait(), !map_exists(id)), 20))
		err = fail("the map is still there after the callback has ended");
out:
	g->stop = 1;
	lifetime_bpf__destroy(sk);
	return err;
}

const struct test lifetime_tests[] = {
	{ "H1", h1, "a wq callback outlives its program", .own_boot = true,
	  .c_says = "int3|unable to handle|invalid opcode|KASAN|the callback stopped|"
		    "the program is gone" },
	{ "H2", h2, "a wq callback outlives its inner map", .own_boot = true,
	  .append = "init_on_free=1",
	  .c_says = "the value changed under the callback|the map is gone|KASAN|unable to handle" },
	{}
};
