// SPDX-License-Identifier: GPL-2.0
/*
 * stale: a limit that both kernels have, and that lies in the hash map. When an
 * element is deleted, its timer is; a program that still has the value can make
 * another one, and nothing deletes that later.
 */
#include <errno.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "stale.skel.h"

#define GRACE_PERIODS	20	/* of RCU and RCU Tasks Trace: what goes has gone by then */
#define KEYS_TRIED	14

static struct stale_bpf *lose(void)
{
	struct stale_bpf *sk = stale_bpf__open_and_load();

	if (sk && !run_prog(bpf_program__fd(sk->progs.lose), 0) && !sk->bss->ret)
		return sk;
	stale_bpf__destroy(sk);
	return NULL;
}

/* Whether program and map stay when only they have each other. */
static const char *leaves(bool *stays)
{
	struct stale_bpf *sk = lose();
	u32 prog, map;
	int i;

	if (!sk)
		return fail("cannot start a timer of a stale value");
	prog = prog_id(bpf_program__fd(sk->progs.lose));
	map = map_id(bpf_map__fd(sk->maps.stale));
	stale_bpf__destroy(sk);
	*stays = true;
	for (i = 0; i < GRACE_PERIODS && *stays; i++) {
		module_write("grace", "1");
		*stays = prog_exists(prog) || map_exists(map);
	}
	if (*stays && (!prog_exists(prog) || !map_exists(map)))
		return fail("only one of program and map stays");
	return NULL;
}

/* Whether another key gets the old timer with the memory. */
static const char *inherits(bool *inherited)
{
	struct stale_bpf *sk;
	const char *err = NULL;
	int key;

	pin_cpu(1);	/* memory that is freed is used again on the same CPU */
	sk = lose();
	CHECK(sk, "cannot start a timer of a stale value");
	for (key = 2; key < 2 + KEYS_TRIED && sk->bss->again != sk->bss->memory; key++) {
		sk->bss->ret = 1;
		CHECK(!run_prog(bpf_program__fd(sk->progs.reuse), key), "cannot add a key");
	}
	CHECK(sk->bss->again == sk->bss->memory, "no key got the memory of the stale value");
	if (sk->bss->ret) {
		CHECK(sk->bss->ret == -EBUSY, "init of the new key answered %d", sk->bss->ret);
		CHECK(WAIT_UNTIL(sk->bss->fired, 10), "the old timer does not fire");
		CHECK(sk->bss->fired_key == key - 1, "called with key %u", sk->bss->fired_key);
		*inherited = true;
	}
out:
	stale_bpf__destroy(sk);
	pin_cpu(0);
	return err;
}

static const char *stale(int seconds)
{
	bool stays = false, inherited = false;

	TRY(inherits(&inherited));
	TRY(leaves(&stays));
	say("program and map %s; another key %s", stays ? "stay" : "go",
	    inherited ? "inherits the timer" : "has a timer of its own");
	if (stays && inherited)
		return fail("another key inherits the timer of a stale value, and program and map stay");
	return stays || inherited ? fail("%s", stays ? "program and map stay" :
					 "another key inherits the timer") : NULL;
}

const struct test stale_tests[] = {
	{ "stale", stale, "a timer made of a stale value (a limit that lies in hashtab.c)",
	  .own_boot = true, .known = "inherits the timer of a stale value, and program and map stay" },
	{}
};
