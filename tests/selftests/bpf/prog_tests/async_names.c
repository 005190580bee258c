// SPDX-License-Identifier: GPL-2.0
/*
 * Tools find timers and work items by the names that the C functions have: to
 * attach to, and of what an expiring timer or a running work item calls: H39.
 */
#include "async_helpers.h"
#include "async_names.skel.h"

static const char *const functions[] = {
	"bpf_timer_init", "bpf_timer_set_callback", "bpf_timer_start", "bpf_timer_cancel",
	"bpf_timer_cancel_and_free", "bpf_wq_cancel_and_free",
};

/* With these programs alone. */
static struct async_names *load_with(const char *prefix, const char *target)
{
	struct async_names *skel = async_names__open();
	struct bpf_program *p;

	if (!skel)
		return NULL;
	bpf_object__for_each_program(p, skel->obj)
		bpf_program__set_autoload(p, !strncmp(bpf_program__name(p), prefix, strlen(prefix)));
	bpf_program__set_autoload(skel->progs.life, true);
	bpf_program__set_autoload(skel->progs.fire, true);
	if ((!target || !bpf_program__set_attach_target(skel->progs.at_fentry, 0, target)) &&
	    !async_names__load(skel))
		return skel;
	async_names__destroy(skel);
	return NULL;
}

/* The function can be attached to, and is seen to be called. */
static void attach(const char *function, bool fentry)
{
	struct async_names *skel = load_with(fentry ? "at_fentry" : "at_kprobe",
					     fentry ? function : NULL);
	struct bpf_link *link;

	if (!ASSERT_OK_PTR(skel, function))
		return;
	link = fentry ? bpf_program__attach(skel->progs.at_fentry) :
	       bpf_program__attach_kprobe(skel->progs.at_kprobe, false, function);
	if (ASSERT_OK_PTR(link, function) &&
	    ASSERT_OK(async_run(skel->progs.life, 0), "all operations"))
		ASSERT_GT(skel->bss->hits, 0, function);
	bpf_link__destroy(link);
	async_names__destroy(skel);
}

static void kprobes(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		attach(functions[i], false);
}

static void fentries(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		attach(functions[i], true);
}

static bool has_name(__u64 address, const char *name)
{
	const char *const names[] = { name, NULL };
	struct async_function f;

	return async_find_functions(names, &f, 1) && f.addr == address;
}

static void tracepoints(void)
{
	struct async_names *skel = load_with("on_", NULL);

	if (!ASSERT_OK_PTR(skel, "load"))
		return;
	skel->links.on_expire = bpf_program__attach(skel->progs.on_expire);
	skel->links.on_execute = bpf_program__attach(skel->progs.on_execute);
	if (!ASSERT_OK_PTR(skel->links.on_expire, "attach") ||
	    !ASSERT_OK_PTR(skel->links.on_execute, "attach") ||
	    !ASSERT_OK(async_run(skel->progs.fire, 0), "start a timer and a work item") ||
	    !ASSERT_TRUE(async_wait(skel->bss->timer_function && skel->bss->work_function),
			 "an expiry and a work item are seen"))
		goto out;
	ASSERT_TRUE(has_name(skel->bss->timer_function, "bpf_timer_cb"),
		    "hrtimer_expire_entry names bpf_timer_cb");
	ASSERT_TRUE(has_name(skel->bss->work_function, "bpf_wq_work"),
		    "workqueue_execute_start names bpf_wq_work");
out:
	async_names__destroy(skel);
}

void serial_test_async_function_names(void)
{
	if (test__start_subtest("tracepoints"))
		async_test(tracepoints);
	if (test__start_subtest("kprobe"))
		async_test(kprobes);
	if (test__start_subtest("fentry"))
		async_test(fentries);
}
