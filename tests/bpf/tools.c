// SPDX-License-Identifier: GPL-2.0
/*
 * H39: tools find timers and work items by the names that the C functions have:
 * to attach to, and of what an expiring timer or a running work item calls.
 */
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "tools.skel.h"

static const char *const functions[] = {
	"bpf_timer_init", "bpf_timer_set_callback", "bpf_timer_start", "bpf_timer_cancel",
	"bpf_timer_cancel_and_free", "bpf_wq_cancel_and_free",
};

/* With these programs alone. */
static struct tools_bpf *load_with(const char *prefix, const char *target)
{
	struct tools_bpf *sk = tools_bpf__open();
	struct bpf_program *p;

	if (!sk)
		return NULL;
	bpf_object__for_each_program(p, sk->obj)
		bpf_program__set_autoload(p, !strncmp(bpf_program__name(p), prefix, strlen(prefix)));
	bpf_program__set_autoload(sk->progs.life, true);
	bpf_program__set_autoload(sk->progs.fire, true);
	if ((!target || !bpf_program__set_attach_target(sk->progs.at_fentry, 0, target)) &&
	    !tools_bpf__load(sk))
		return sk;
	tools_bpf__destroy(sk);
	return NULL;
}

/* NULL, or why the function is not seen to be called. */
static const char *attach(const char *function, bool fentry)
{
	struct tools_bpf *sk = load_with(fentry ? "at_fentry" : "at_kprobe", fentry ? function : NULL);
	struct bpf_link *link = NULL;
	const char *why = NULL;

	if (sk)
		link = fentry ? bpf_program__attach(sk->progs.at_fentry) :
		       bpf_program__attach_kprobe(sk->progs.at_kprobe, false, function);
	if (!link)
		why = "cannot attach";
	else if (run_prog(bpf_program__fd(sk->progs.life), 0))
		why = "the operations failed";
	else if (!sk->bss->hits)
		why = "is never hit";
	bpf_link__destroy(link);
	tools_bpf__destroy(sk);
	return why;
}

static bool has_name(u64 address, const char *name)
{
	const char *const names[] = { name, NULL };
	struct function f;

	return find_functions(names, &f, 1) && f.addr == address;
}

/* Which of the two names are not seen: bits. */
enum { TIMER = 1, WORK = 2 };

static const char *names_seen(int *missing)
{
	struct tools_bpf *sk = load_with("on_", NULL);
	const char *err = NULL;

	CHECK(sk, "cannot load tools.bpf.o");
	sk->links.on_expire = bpf_program__attach(sk->progs.on_expire);
	sk->links.on_execute = bpf_program__attach(sk->progs.on_execute);
	CHECK(sk->links.on_expire && sk->links.on_execute, "no tracepoints");
	CHECK(!run_prog(bpf_program__fd(sk->progs.fire), 0), "cannot start them");
	CHECK(WAIT_UNTIL(sk->bss->timer_function && sk->bss->work_function, 10),
	      "no expiry, or no work item, is seen");
	*missing = (has_name(sk->bss->timer_function, "bpf_timer_cb") ? 0 : TIMER) |
		   (has_name(sk->bss->work_function, "bpf_wq_work") ? 0 : WORK);
out:
	tools_bpf__destroy(sk);
	return err;
}

static const char *h39(int seconds)
{
	const int n = sizeof(functions) / sizeof(functions[0]);
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	int i, fentry, names = 0, missing[2] = {};
	const char *err, *why;

	err = names_seen(&names);
	for (fentry = 0; fentry < 2 && !err; fentry++)
		for (i = 0; i < n; i++) {
			why = attach(functions[i], fentry);
			if (!why)
				continue;
			say("%s at %s: %s", fentry ? "fentry" : "kprobe", functions[i], why);
			missing[fentry]++;
		}
	libbpf_set_print(print);
	if (err || !(names || missing[0] || missing[1]))
		return err;
	return fail("%s%sof %d functions %d have no kprobe and %d no fentry",
		    names & TIMER ? "hrtimer_expire_entry does not name bpf_timer_cb, " : "",
		    names & WORK ? "workqueue_execute_start does not name bpf_wq_work, " : "",
		    n, missing[0], missing[1]);
}

const struct test tools_tests[] = {
	{ "H39", h39, "kprobe, fentry and tracepoints find the functions by their names",
	  .own_boot = true, .one_thread = true },
	{}
};
