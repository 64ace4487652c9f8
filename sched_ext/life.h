/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * life.h: the scheduler's beginning and end, its timer, and CPUs that come and go.
 */
#ifndef AGENTCG_LIFE_H
#define AGENTCG_LIFE_H

#include "parking.h"

#define READY 0x100ull /* the queue of all runnable tasks */
#define CPUS 1024
#define TICK (4 * MS)
#define STRANDED 16 /* ticks between two looks at what lies in local queues */
#define CLOCK_MONOTONIC 1
#define SILENT 1 /* exit code: the daemon was not heard of */

struct cpu {
	__u64 ran;   /* its task's CPU time, in the kernel's count, up to where it is charged for */
	__u32 quick; /* that task has credit */
	__u32 look;  /* somebody on its park queue is released */
	__u32 gone;  /* it is going offline: nobody may wait for it */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CPUS);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

static __always_inline struct cpu *cpu_of(__s32 id)
{
	__u32 key = id;

	return bpf_map_lookup_elem(&cpus, &key);
}

struct ticker {
	struct bpf_timer timer;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ticker);
} tickers SEC(".maps");

__u64 ticks; /* of the timer: doctor looks whether it moves */

static long look_at(__u32 id, void *nothing)
{
	struct cpu *cpu = cpu_of(id);

	/*
	 * The kernel puts who has used up its slice on a CPU that goes offline straight back on the
	 * local queue, and does not ask us. Was it the last one there, the CPU idles with it. So, most
	 * likely, cpuhp/1 waited until the watchdog ejected us (twice on 7.2; not shown again).
	 */
	if (scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | id) > 0)
		scx_bpf_kick_cpu(id, SCX_KICK_IDLE);
	if (!cpu || scx_bpf_dsq_nr_queued(PARKED + id) <= 0 || !release(id, cpu->gone))
		return 0;
	if (cpu->gone) {
		unpark(id);
		scx_bpf_kick_cpu(id, 0);
	} else {
		cpu->look = 1;
		/* Who runs there goes on to the end of its slice. */
		scx_bpf_kick_cpu(id, SCX_KICK_IDLE);
	}
	return 0;
}

/* Every 4 ms: who is parked, and whether the daemon lives; and now and then who is stranded. */
static int look_around(void *map, __u32 *key, struct bpf_timer *timer)
{
	static char words[] = "the daemon is silent";
	struct state *state = state_of();
	unsigned long long none = 0;

	ticks++;
	if (!governed(bpf_ktime_get_ns())) {
		scx_bpf_exit_bstr(SILENT, words, &none, 0);
		return 0;
	}
	if (state && (state->parked || !(ticks % STRANDED)))
		bpf_loop(nr_cpus, look_at, NULL, 0);
	bpf_timer_start(timer, TICK, 0);
	return 0;
}

SEC("struct_ops/cpu_online")
void BPF_PROG(cpu_online, __s32 id)
{
	struct cpu *cpu = cpu_of(id);

	if (cpu)
		cpu->gone = cpu->look = 0;
}

SEC("struct_ops/cpu_offline")
void BPF_PROG(cpu_offline, __s32 id)
{
	struct cpu *cpu = cpu_of(id);

	if (cpu)
		cpu->gone = 1;
}

SEC("struct_ops.s/init")
__s32 BPF_PROG(init)
{
	struct state *state = state_of();
	struct ticker *ticker;
	__u32 zero = 0;
	__s32 failed;

	nr_cpus = (int)scx_bpf_nr_cpu_ids();
	failed = nr_cpus > CPUS ? -7 : scx_bpf_create_dsq(READY, -1);
	for (int i = 0; !failed && i < CPUS && i < nr_cpus; i++)
		failed = scx_bpf_create_dsq(PARKED + i, -1);
	ticker = bpf_map_lookup_elem(&tickers, &zero);
	if (failed || !ticker || !state)
		return failed ?: -2;
	bpf_timer_init(&ticker->timer, &tickers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&ticker->timer, look_around);
	bpf_timer_start(&ticker->timer, TICK, 0);
	state->parked = 0;
	state->scheduler = 1;
	return 0;
}

SEC("struct_ops/exit")
void BPF_PROG(leave, struct scx_exit_info *info)
{
	struct state *state = state_of();
	struct farewell *farewell;
	__u32 zero = 0;

	if (state)
		state->scheduler = 0;
	farewell = bpf_map_lookup_elem(&farewells, &zero);
	if (!farewell)
		return;
	farewell->code = info->exit_code;
	farewell->kind = info->kind;
	bpf_probe_read_kernel_str(farewell->reason, sizeof(farewell->reason), info->reason);
	bpf_probe_read_kernel_str(farewell->message, sizeof(farewell->message), info->msg);
}

#endif
