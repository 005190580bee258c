// SPDX-License-Identifier: GPL-2.0
/* Running scripts: see script.bpf.c. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "script.skel.h"

#define NMI_SCRIPT	(SCRIPTS - 1)	/* the outer script of one in an NMI */

static bool fill(struct bpf_map *map)
{
	char value[64] = {};
	int key, err = 0;

	for (key = 0; key < KEYS && !err; key++)
		err = bpf_map__update_elem(map, &key, sizeof(key), value,
					   bpf_map__value_size(map), 0);
	return !err;
}

static bool attach_nmi(struct script_bpf *sk, int nmi)
{
	if (nmi == PROG_B)
		sk->links.nmi_b = bpf_program__attach(sk->progs.nmi_b);
	else
		sk->links.nmi_a = bpf_program__attach(sk->progs.nmi_a);
	return sk->links.nmi_a || sk->links.nmi_b;
}

static bool share(struct script_bpf *sk, struct script_bpf *from)
{
	return !bpf_map__reuse_fd(sk->maps.arr, bpf_map__fd(from->maps.arr)) &&
	       !bpf_map__reuse_fd(sk->maps.hash, bpf_map__fd(from->maps.hash)) &&
	       !bpf_map__reuse_fd(sk->maps.lru, bpf_map__fd(from->maps.lru));
}

struct script_bpf *script_load_sharing(struct script_bpf *from, int nmi)
{
	struct script_bpf *sk = script_bpf__open();

	if (!sk)
		return NULL;
	bpf_program__set_autoload(nmi == PROG_B ? sk->progs.nmi_a : sk->progs.nmi_b, false);
	if ((!from || share(sk, from)) && !script_bpf__load(sk) && attach_nmi(sk, nmi) &&
	    (from || (fill(sk->maps.hash) && fill(sk->maps.lru))))
		return sk;
	script_bpf__destroy(sk);
	return NULL;
}

struct script_bpf *script_load(int nmi)
{
	return script_load_sharing(NULL, nmi);
}

void script_unload(struct script_bpf *sk)
{
	int i;

	if (!sk)
		return;
	for (i = 0; i < KEYS; i++)	/* what still waits may go */
		sk->bss->gate[i] = 1;
	script_bpf__destroy(sk);
}

struct script *script_put(struct script_bpf *sk, int nr, const struct step *s, int n)
{
	struct script *sc = &sk->bss->scripts[nr];

	memset(sc, 0, sizeof(*sc));
	if (n > STEPS)
		abort();
	memcpy(sc->s, s, n * sizeof(*s));
	sc->n = n;
	return sc;
}

int script_exec(struct script_bpf *sk, int nr, int prog, int context)
{
	int fd = bpf_program__fd(prog == PROG_B ? sk->progs.run_b : sk->progs.run_a);
	struct step nmi = STEP(OP_NMI, 0, 0, .nsecs = nr);

	if (context == IN_NMI) {
		script_put(sk, NMI_SCRIPT, &nmi, 1);
		nr = NMI_SCRIPT;
	} else {
		sk->bss->scripts[nr].irqs_off = context == IRQS_OFF;
	}
	return run_prog(fd, nr);
}

struct script *script_run(struct script_bpf *sk, int prog, int context,
			  const struct step *s, int n)
{
	struct script *sc = script_put(sk, 0, s, n);
	unsigned int want = context == IN_NMI ? 1 : context == IRQS_OFF ? 4 : 0;
	int err = script_exec(sk, 0, prog, context);

	if (err || !sc->runs || (sc->context & want) != want) {
		say("script did not run: error %d, runs %u, context %u", err, sc->runs, sc->context);
		abort();
	}
	return sc;
}

long one(struct script_bpf *sk, int prog, struct step s)
{
	return script_run(sk, prog, IRQS_ON, &s, 1)->s[0].ret;
}

struct element *element(struct script_bpf *sk, int map, int key)
{
	return &sk->bss->elements[map * KEYS + key];
}

__u32 script_prog_id(struct script_bpf *sk, int prog)
{
	return prog_id(bpf_program__fd(prog == PROG_B ? sk->progs.run_b : sk->progs.run_a));
}

void gate_open(struct script_bpf *sk, int gate)
{
	sk->bss->gate[gate] = 1;
}

void gate_close(struct script_bpf *sk, int gate)
{
	sk->bss->gate[gate] = 0;
}

u32 waits_begun(struct script_bpf *sk)
{
	return sk->bss->waiting;
}

/* libbpf closes the number again later, so another file takes it. */
bool drop_map(struct script_bpf *sk, int map)
{
	struct bpf_map *maps[] = { sk->maps.arr, sk->maps.hash, sk->maps.lru };
	int fd = bpf_map__fd(maps[map]);

	return dup2(bpf_map__fd(sk->maps.bss), fd) == fd;
}

static void *runner(void *arg)
{
	struct runner *r = arg;

	while (r->waits && !r->stop)
		poll_pause();
	do {
		r->err = script_exec(r->sk, r->nr, r->prog, r->context);
		r->runs++;
	} while (r->loop && !r->stop && !r->err);
	return NULL;
}

/* On the caller's CPU it would have to wait for the caller, who may be about to wait for it. */
void runner_start(struct runner *r)
{
	r->thread = thread_on(r->cpu, runner, r);
}

int runner_join(struct runner *r)
{
	r->stop = true;
	pthread_join(r->thread, NULL);
	return r->err;
}
