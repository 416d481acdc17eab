/* Processes: who descends from whom, when one ends, and which programs they run. */
#pragma once

SEC("tp_btf/sched_process_fork") int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid;
	if (from == to)
		return 0;
	struct mark *mark = bpf_map_lookup_elem(&marks, &from);
	if (!mark)
		return 0;
	struct mark copy = *mark;
	if (bpf_map_update_elem(&marks, &to, &copy, BPF_ANY)) {
		/* A child that could not be marked would be nobody's. Its parent ends before it can use it. */
		count(LOST_MARK);
		struct agent *agent = agent_of(copy.agent);
		if (agent && agent->flags & ENFORCE)
			bpf_send_signal(9);
	}
	return 0;
}

SEC("tp_btf/sched_process_exit") int BPF_PROG(exited, struct task_struct *task)
{
	/* The first thread may end long before the others do. */
	if (task->signal->live.counter)
		return 0;
	__u32 tgid = task->tgid;
	struct mark *mark = bpf_map_lookup_elem(&marks, &tgid);
	if (!mark)
		return 0;
	struct mark copy = *mark;
	struct agent *agent = agent_of(copy.agent);
	/* What it did to watched files may be told after it has ended. */
	if (agent && agent->flags & WATCHED)
		bpf_map_update_elem(&ended, &tgid, &copy, BPF_ANY);
	bpf_map_delete_elem(&marks, &tgid);
	return 0;
}

/* Only what there is of path and arguments takes room in the ring, so both are put together elsewhere first. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task, int old, struct linux_binprm *binary)
{
	struct mark *mark = marked();
	if (!mark)
		return 0;
	count(HOOKED);
	__u32 zero = 0;
	struct exec_event *event = bpf_map_lookup_elem(&program, &zero);
	if (!event)
		return 0;
	head_of(&event->head, EXEC, mark->agent, PASSED);
	long size = bpf_probe_read_kernel_str(event->words, FILE_MAX_LEN, binary->filename);
	__u32 file = size > 0 ? size - 1 : 0;
	file &= FILE_MAX_LEN - 1;
	unsigned long start = task->mm->arg_start, end = task->mm->arg_end;
	__u32 args = end - start;
	if (end < start || end - start > ARGS_MAX_LEN)
		args = ARGS_MAX_LEN;
	barrier_var(args); /* the verifier must see the bounds that the compiler takes for granted */
	if (args > ARGS_MAX_LEN)
		return 0;
	event->file_length = file;
	event->args_length = args;
	bpf_probe_read_user(event->words + file, args, (void *)start);
	__u32 whole = offsetof(struct exec_event, words) + file + args;
	if (whole > sizeof(*event))
		return 0;
	if (bpf_ringbuf_output(&ring, event, whole, BPF_RB_NO_WAKEUP))
		count(LOST_RING);
	else
		count(TOLD);
	return 0;
}
