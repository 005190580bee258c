// SPDX-License-Identifier: GPL-2.0
/* set_callback in a program with few subprograms and in one with many: H33. */
#include <bpf/btf.h>

#include "async_helpers.h"
#include "timer_subprogs.skel.h"

#define FUNCS	300	/* more than a program can have */

/* Said in the log only. */
static long nsecs_each(struct bpf_program *p, __u32 mark)
{
	static const char packet[64];
	struct __sk_buff ctx = { .mark = mark };
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = packet, .data_size_in = sizeof(packet),
		.ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 20000);

	return bpf_prog_test_run_opts(bpf_program__fd(p), &opts) ? -1 : (long)opts.duration;
}

/* The number of the program's functions, and the name of the last one. */
static int functions(struct bpf_program *p, char *last, size_t size)
{
	static struct bpf_func_info funcs[FUNCS];
	struct bpf_prog_info info = {
		.nr_func_info = FUNCS,
		.func_info_rec_size = sizeof(funcs[0]),
		.func_info = ptr_to_u64(funcs),
	};
	const struct btf_type *type;
	__u32 len = sizeof(info);
	struct btf *btf;

	last[0] = '\0';
	if (!ASSERT_OK(bpf_prog_get_info_by_fd(bpf_program__fd(p), &info, &len), "prog info") ||
	    !ASSERT_GT(info.nr_func_info, 0, "functions"))
		return -1;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	type = btf ? btf__type_by_id(btf, funcs[info.nr_func_info - 1].type_id) : NULL;
	if (type)
		snprintf(last, size, "%s", btf__name_by_offset(btf, type->name_off));
	btf__free(btf);
	return info.nr_func_info;
}

static void many_subprogs(void)
{
	static const char *const last[] = { "few_last", "many_last" };
	struct timer_subprogs *skel = timer_subprogs__open_and_load();
	struct bpf_program *p[2];
	int i, mark, count;
	char name[64];

	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return;
	p[0] = skel->progs.with_few;
	p[1] = skel->progs.with_many;
	for (i = 0; i < 2; i++) {
		/* The worst case of a search. */
		count = functions(p[i], name, sizeof(name));
		if (!ASSERT_STREQ(name, last[i], "the last function"))
			goto out;
		async_run(p[i], 0);
		if (!ASSERT_OK(skel->bss->last_ret, "init"))
			goto out;
		for (mark = 3; mark <= 4; mark++) {
			async_run(p[i], mark);
			if (!ASSERT_OK(skel->bss->last_ret, "set_callback") ||
			    !ASSERT_TRUE(async_wait(skel->bss->fired[i * 2 + mark - 3] == 1),
					 "the callback that was set runs"))
				goto out;
		}
		if (!ASSERT_EQ(skel->bss->fired[i * 2], 1, "calls of the first") ||
		    !ASSERT_EQ(skel->bss->fired[i * 2 + 1], 1, "calls of the last"))
			goto out;
		printf("%d functions: the same callback again %ld ns, two in turn %ld ns\n", count,
		       nsecs_each(p[i], 1), nsecs_each(p[i], 2));
	}
	ASSERT_GT(count, 250, "functions of the program with many");
out:
	timer_subprogs__destroy(skel);
}

void serial_test_timer_many_subprogs(void)
{
	async_test(many_subprogs);
}
