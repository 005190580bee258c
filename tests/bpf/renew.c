// SPDX-License-Identifier: GPL-2.0
/* H37: starts that beget starts, each of a timer that did not exist before. */
#include <bpf/bpf.h>

#include "regress.h"
#include "renew.skel.h"

#define CPU		1
#define CHAIN_LIMIT	1000
#define ROUNDS		50

static const char *h37(int seconds)
{
	static const char *const names[] = { "hrtimer_start_range_ns", NULL };
	struct renew_bpf *sk = renew_bpf__open_and_load();
	const char *err = NULL;
	struct bpf_program *p[2];
	struct function f;
	int i;

	CHECK(sk, "cannot load renew.bpf.o");
	sk->bss->limit = CHAIN_LIMIT;
	p[0] = sk->progs.start;
	p[1] = sk->progs.start_inline;
	pin_cpu(CPU);
	CHECK(!run_prog(bpf_program__fd(sk->progs.start), 0), "cannot start the timer");
	CHECK(find_functions(names, &f, 1), "this kernel has no %s", names[0]);
	sk->links.on_start = can_init_in_nmi() ? break_at(sk->progs.on_start, f.addr, CPU) :
						 bpf_program__attach(sk->progs.on_start_debug);
	CHECK(sk->links.on_start, "cannot trace %s", f.name);
	for (i = 0; i < ROUNDS && sk->bss->longest < CHAIN_LIMIT; i++)
		CHECK(!run_prog(bpf_program__fd(p[i & 1]), 0), "cannot start the timer");
	sk->bss->on = 0;
	say("%llu starts seen in %d rounds, the longest chain %llu, %llu refused, at last %d",
	    sk->bss->hits, i, sk->bss->longest, sk->bss->refused, sk->bss->last_ret);
	CHECK(sk->bss->hits >= ROUNDS || sk->bss->longest >= CHAIN_LIMIT, "hardly a start is seen");
	CHECK(sk->bss->longest, "no start begot another one");
	CHECK(sk->bss->longest < CHAIN_LIMIT, "starts begot starts without end, each of a new object");
	bpf_link__destroy(sk->links.on_start);
	sk->links.on_start = NULL;
	CHECK(!run_prog(bpf_program__fd(sk->progs.start), 0), "cannot start the timer again");
	i = run_prog(bpf_program__fd(sk->progs.is_armed), 0);
	CHECK(i == 1, "the timer is not armed: %d", i);
out:
	renew_bpf__destroy(sk);
	return err;
}

const struct test renew_tests[] = {
	{ "H37", h37, "starts that beget starts, each of a new object", .own_boot = true,
	  .one_thread = true,
	  .c_says = "without end|hard LOCKUP|soft lockup|stall" },
	{}
};
