// SPDX-License-Identifier: GPL-2.0
/* Running scripts: see progs/async_script.c. */
#include "async_script_helpers.h"

#define NMI_SCRIPT	(SCRIPTS - 1)	/* the outer script of one in an NMI */

static int fill(struct bpf_map *map)
{
	char value[64] = {};
	int key, err = 0;

	for (key = 0; key < KEYS && !err; key++)
		err = bpf_map__update_elem(map, &key, sizeof(key), value,
					   bpf_map__value_size(map), 0);
	return err;
}

static bool attach_nmi(struct async_script *sk, int nmi)
{
	if (nmi == PROG_B)
		sk->links.nmi_b = bpf_program__attach(sk->progs.nmi_b);
	else
		sk->links.nmi_a = bpf_program__attach(sk->progs.nmi_a);
	return sk->links.nmi_a || sk->links.nmi_b;
}

static int share(struct async_script *sk, struct async_script *from)
{
	return bpf_map__reuse_fd(sk->maps.arr, bpf_map__fd(from->maps.arr)) ?:
	       bpf_map__reuse_fd(sk->maps.hash, bpf_map__fd(from->maps.hash)) ?:
	       bpf_map__reuse_fd(sk->maps.lru, bpf_map__fd(from->maps.lru));
}

struct async_script *script_load_sharing(struct async_script *from, int nmi)
{
	struct async_script *sk = async_script__open();
	int err;

	if (!ASSERT_OK_PTR(sk, "open async_script"))
		return NULL;
	bpf_program__set_autoload(nmi == PROG_B ? sk->progs.nmi_a : sk->progs.nmi_b, false);
	err = (from ? share(sk, from) : 0) ?: async_script__load(sk);
	if (!err && !from)
		err = fill(sk->maps.hash) ?: fill(sk->maps.lru);
	if (ASSERT_OK(err, "load async_script") &&
	    ASSERT_TRUE(attach_nmi(sk, nmi), "attach to the NMI's hook"))
		return sk;
	async_script__destroy(sk);
	return NULL;
}

struct async_script *script_load(int nmi)
{
	return script_load_sharing(NULL, nmi);
}

void script_unload(struct async_script *sk)
{
	int i;

	if (!sk)
		return;
	for (i = 0; i < KEYS; i++)	/* what still waits may go */
		sk->bss->gate[i] = 1;
	async_script__destroy(sk);
}

static void (*with_script)(struct async_script *sk);

static void load_and_run(void)
{
	struct async_script *sk = script_load(PROG_A);

	if (sk) {
		with_script(sk);
		ASSERT_EQ(sk->bss->expired, 0, "waits that ended by themselves");
	}
	script_unload(sk);
}

void script_test(void (*test)(struct async_script *sk))
{
	with_script = test;
	async_test(load_and_run);
}

struct script *script_put(struct async_script *sk, int nr, const struct step *s, int n)
{
	struct script *sc = &sk->bss->scripts[nr];

	memset(sc, 0, sizeof(*sc));
	assert(n <= STEPS);
	memcpy(sc->s, s, n * sizeof(*s));
	sc->n = n;
	return sc;
}

int script_exec(struct async_script *sk, int nr, int prog, int context)
{
	struct step nmi = STEP(OP_NMI, 0, 0, .nsecs = nr);

	if (context == IN_NMI) {
		script_put(sk, NMI_SCRIPT, &nmi, 1);
		nr = NMI_SCRIPT;
	} else {
		sk->bss->scripts[nr].irqs_off = context == IRQS_OFF;
	}
	return async_run(prog == PROG_B ? sk->progs.run_b : sk->progs.run_a, nr);
}

struct script *script_run(struct async_script *sk, int prog, int context,
			  const struct step *s, int n)
{
	struct script *sc = script_put(sk, 0, s, n);
	unsigned int want = context == IN_NMI ? 1 : context == IRQS_OFF ? 4 : 0;
	int err = script_exec(sk, 0, prog, context);

	if (err || !sc->runs || (sc->context & want) != want)
		PRINT_FAIL("script did not run: error %d, runs %u, context %u\n", err, sc->runs,
			   sc->context);
	return sc;
}

long one(struct async_script *sk, int prog, struct step s)
{
	return script_run(sk, prog, IRQS_ON, &s, 1)->s[0].ret;
}

struct element *element(struct async_script *sk, int map, int key)
{
	return &sk->bss->elements[map * KEYS + key];
}

__u32 script_prog_id(struct async_script *sk, int prog)
{
	return async_prog_id(prog == PROG_B ? sk->progs.run_b : sk->progs.run_a);
}

bool script_drop_map(struct async_script *sk, int map)
{
	const struct bpf_map *maps[] = { sk->maps.arr, sk->maps.hash, sk->maps.lru };

	return async_drop_map(maps[map], sk->maps.bss);
}

#define ATTACH(prog)							\
	ASSERT_OK_PTR(sk->links.prog = bpf_program__attach(sk->progs.prog), "attach " #prog)

bool script_watch(struct async_script *sk, bool calls)
{
	return ATTACH(see_start) && ATTACH(see_cancel) && ATTACH(see_expire) &&
	       ATTACH(see_kfree) && ATTACH(see_kfree_nolock) && (!calls || ATTACH(see_call));
}

static void *runner(void *arg)
{
	struct runner *r = arg;

	while (r->waits && !r->stop)
		async_pause();
	r->err = script_exec(r->sk, r->nr, r->prog, r->context);
	r->runs++;
	return NULL;
}

/* On the caller's CPU it would have to wait for the caller, who may be about to wait for it. */
void runner_start(struct runner *r)
{
	r->thread = async_thread(r->cpu, runner, r);
}

int runner_join(struct runner *r)
{
	r->stop = true;
	pthread_join(r->thread, NULL);
	return r->err;
}
