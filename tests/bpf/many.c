// SPDX-License-Identifier: GPL-2.0
/* H33: set_callback in a program with few subprograms and in one with many. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "regress.h"
#include "many.skel.h"

#define FUNCS	300	/* more than a program can have */

static long nsecs_each(struct bpf_program *p, uint32_t mark)
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
		.func_info = (uintptr_t)funcs,
	};
	const struct btf_type *type;
	__u32 len = sizeof(info);
	struct btf *btf;

	last[0] = '\0';
	if (bpf_prog_get_info_by_fd(bpf_program__fd(p), &info, &len) || !info.nr_func_info)
		return -1;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	type = btf ? btf__type_by_id(btf, funcs[info.nr_func_info - 1].type_id) : NULL;
	if (type)
		snprintf(last, size, "%s", btf__name_by_offset(btf, type->name_off));
	btf__free(btf);
	return info.nr_func_info;
}

static const char *h33(int seconds)
{
	static const char *const last[] = { "few_last", "many_last" };
	struct many_bpf *sk = many_bpf__open_and_load();
	const char *err = NULL;
	struct bpf_program *p[2];
	int i, mark, count;
	char name[64];

	if (!sk)
		return fail("cannot load many.bpf.o");
	p[0] = sk->progs.with_few;
	p[1] = sk->progs.with_many;
	for (i = 0; i < 2; i++) {
		count = functions(p[i], name, sizeof(name));
		CHECK(!strcmp(name, last[i]), "the last one of %d functions is '%s', not '%s'",
		      count, name, last[i]);
		run_prog(bpf_program__fd(p[i]), 0);
		CHECK(!sk->bss->last_ret, "init");
		for (mark = 3; mark <= 4; mark++) {
			run_prog(bpf_program__fd(p[i]), mark);
			CHECK(!sk->bss->last_ret, "set_callback: %d", sk->bss->last_ret);
			CHECK(WAIT_UNTIL(sk->bss->fired[i * 2 + mark - 3] == 1, 10),
			      "the callback that was set did not run");
		}
		CHECK(sk->bss->fired[i * 2] == 1 && sk->bss->fired[i * 2 + 1] == 1,
		      "another callback ran");
		say("%d functions: the same callback again %ld ns, two in turn %ld ns", count,
		    nsecs_each(p[i], 1), nsecs_each(p[i], 2));
	}
	CHECK(count > 250, "%d functions are not many", count);
out:
	many_bpf__destroy(sk);
	return err;
}

const struct test many_tests[] = {
	{ "H33", h33, "set_callback with few and with 254 subprograms" },
	{}
};
