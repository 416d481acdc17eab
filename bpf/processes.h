/* Processes: who descends from whom, when one ends, and which programs they run. */
#pragma once

SEC("tp_btf/sched_process_fork") int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid;
	if (from == to)
		return 0;
	__u8 *mark = mark_of(from), *childs = mark_of(to);
	if (mark && childs && *mark)
		*childs = *mark;
	return 0;
}

SEC("tp_btf/sched_process_exit") int BPF_PROG(exited, struct task_struct *task)
{
	/* The first thread may end long before the others do. */
	if (LOOSE(struct task_struct, task)->signal->live.counter)
		return 0;
	__u32 tgid = task->tgid;
	__u8 *mark = mark_of(tgid);
	if (!mark || !*mark)
		return 0;
	__u32 number = *mark - 1;
	struct agent *agent = agent_of(number);
	/* What it did to watched files may be told after it has ended. */
	if (agent && agent->flags & WATCHED)
		bpf_map_update_elem(&ended, &tgid, &number, BPF_ANY);
	*mark = 0;
	return 0;
}

/* Nearly all arguments are short: a record has room for those, or for the most. What is in it behind them means nothing. */
#define FEW_ARGS 256
#define ROOM(args) (offsetof(struct exec_event, words) + FILE_MAX_LEN + (args))

/* Nearly all that is looked at here is in no cache, and the ring's places are looked at one after the other, each when the one before has
 * come: so they are asked for at once, and come while other things are read. */
static __always_inline void ask_for_ring(void)
{
	struct bpf_ringbuf *rb = ((struct bpf_ringbuf_map *)&ring)->rb;
	__u64 mask = rb->mask, read = rb->consumer_pos, written = rb->producer_pos;
	asm volatile("" : : "r"(mask), "r"(read), "r"(written));
}

static __always_inline int
tell_program(struct task_struct *task, struct linux_binprm *binary, __u32 agent, unsigned long start, __u32 args, __u32 most)
{
	struct owner owner;
	own(&owner, task, agent);
	struct exec_event *event = bpf_ringbuf_reserve(&ring, ROOM(most), 0);
	if (!event) {
		count(LOST_RING);
		return 0;
	}
	long size = bpf_probe_read_kernel_str(event->words, FILE_MAX_LEN, binary->filename);
	__u32 file = size > 0 ? size - 1 : 0;
	barrier_var(args); /* the verifier must see the bounds that the compiler takes for granted */
	if (args > most)
		args = most;
	file &= FILE_MAX_LEN - 1;
	event->file_length = file;
	event->args_length = args;
	bpf_probe_read_user(event->words + file, args, (void *)start);
	/* The clock waits until all that was asked for has come, so it is read last. */
	head_of_owner(&event->head, bpf_ktime_get_ns(), EXEC, &owner, PASSED);
	tell(event);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task, int old, struct linux_binprm *binary)
{
	__u32 mark = mark_at(task->tgid);
	if (!mark)
		return 0;
	ask_for_ring();
	count(HOOKED);
	struct mm_struct *mm = LOOSE(struct task_struct, task)->mm;
	unsigned long start = mm->arg_start, length = mm->arg_end - start; /* large, if it ends before it begins */
	if (length <= FEW_ARGS)
		return tell_program(task, binary, mark - 1, start, length, FEW_ARGS);
	return tell_program(task, binary, mark - 1, start, length > ARGS_MAX_LEN ? ARGS_MAX_LEN : length, ARGS_MAX_LEN);
}
