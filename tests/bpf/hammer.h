/* SPDX-License-Identifier: GPL-2.0 */
/* What hammer.bpf.c counts. */
#ifndef HAMMER_H
#define HAMMER_H

#define MAX_CPUS	64

enum kind {
	K_T_INIT, K_T_SET, K_T_START, K_T_CANCEL, K_T_ASYNC,
	K_W_INIT, K_W_SET, K_W_START, K_DELETE, K_UPDATE, KINDS
};

enum where { W_TASK, W_IRQS_OFF, W_NMI, WHERES };

#endif
