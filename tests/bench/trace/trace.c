// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that writes down every instruction of the kernel, and every
 * address that it writes to, between two looks at the counter of the benchmark:
 *
 *   -plugin trace.so,out=FILE
 *
 * FILE is a row of 64-bit words: BEGIN, END, STORE followed by the address, or
 * the address of an instruction. A look at the counter is an rdtsc where the
 * kernel has its modules; the first begins, the second ends, and so on. For
 * one CPU. API is the version of QEMU's plugin interface, of which only what is
 * used here is declared: Debian does not package its header.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TEXT	0xffffffff80000000UL	/* from here on: kernel, then modules and BPF programs */
#define MODULES	0xffffffffa0000000UL

enum { BEGIN, END, STORE };

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

enum { NO_REGS };	/* enum qemu_plugin_cb_flags */
enum { WRITES = 2 };	/* enum qemu_plugin_mem_rw */

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = API;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned int, void *),
					    int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
				      void (*)(unsigned int, uint32_t, uint64_t, void *), int, int, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
bool qemu_plugin_mem_is_store(uint32_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
#if API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
#endif

static FILE *out;
static bool on;

static void put(uint64_t word)
{
	fwrite(&word, sizeof(word), 1, out);
}

static void counter(unsigned int cpu, void *data)
{
	on = !on;
	put(on ? BEGIN : END);
}

static void executed(unsigned int cpu, void *address)
{
	if (on)
		put((uintptr_t)address);
}

static void stored(unsigned int cpu, uint32_t info, uint64_t address, void *data)
{
	/* QEMU 7.2 tells of loads too. */
	if (on && qemu_plugin_mem_is_store(info)) {
		put(STORE);
		put(address);
	}
}

static bool reads_counter(const struct qemu_plugin_insn *insn)
{
	static const unsigned char rdtsc[] = { 0x0f, 0x31 };
	unsigned char bytes[sizeof(rdtsc)];

	if (qemu_plugin_insn_size(insn) != sizeof(rdtsc) || qemu_plugin_insn_vaddr(insn) < MODULES)
		return false;
#if API >= 3
	if (qemu_plugin_insn_data(insn, bytes, sizeof(bytes)) != sizeof(bytes))
		return false;
#else
	memcpy(bytes, qemu_plugin_insn_data(insn), sizeof(bytes));
#endif
	return !memcmp(bytes, rdtsc, sizeof(rdtsc));
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);

		if (address < TEXT)
			continue;
		if (reads_counter(insn)) {
			qemu_plugin_register_vcpu_insn_exec_cb(insn, counter, NO_REGS, NULL);
			continue;
		}
		qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, NO_REGS, (void *)address);
		qemu_plugin_register_vcpu_mem_cb(insn, stored, NO_REGS, WRITES, NULL);
	}
}

static void ended(plugin_id id, void *data)
{
	fclose(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w"))) {
		fprintf(stderr, "trace: out=FILE is needed, a file that can be written\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
