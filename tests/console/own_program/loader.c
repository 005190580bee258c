// SPDX-License-Identifier: GPL-2.0
/* Loads prog.bpf.c, waits for the callback, and asks bpftool for the program. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "prog.skel.h"

int main(void)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct prog *skel = prog__open_and_load();
	int i;

	if (!skel || bpf_prog_test_run_opts(bpf_program__fd(skel->progs.start), &opts) || opts.retval) {
		fprintf(stderr, "the program did not start its timer: %d\n", (int)opts.retval);
		return 1;
	}
	/* The limit is for a callback that never comes. */
	for (i = 0; i < 6000 && !*(volatile int *)&skel->bss->calls; i++)
		usleep(10000);
	printf("calls: %d\n", skel->bss->calls);
	fflush(stdout);
	return skel->bss->calls != 1 || system("bpftool prog show name start");
}
