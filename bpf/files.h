/* Files that an agent may not open, execute, cut, remove or rename, refused in the kernel where it takes BPF LSM programs: unlike
 * fanotify's, this refusal holds when nobody answers any more. A file is known by its inode, and by the directories above it. */
#pragma once

#define MOST_ABOVE 32 /* directories above a file that are looked at */
#define FOR_EXECUTION 0x20 /* FMODE_EXEC, as it stands in f_flags */

MAP(shut, BPF_MAP_TYPE_HASH, struct file_key, __u32, 16384);

static __always_inline bool is_shut(struct dentry *dentry, __u32 agent)
{
	struct file_key key = { .agent = agent };

	for (int i = 0; i < MOST_ABOVE; i++) {
		struct inode *inode = dentry->d_inode;
		if (!inode)
			return false;
		key.inode = inode->i_ino;
		key.device = inode->i_sb->s_dev;
		if (bpf_map_lookup_elem(&shut, &key))
			return true;
		struct dentry *above = dentry->d_parent;
		if (above == dentry)
			return false;
		dentry = above;
	}
	return false;
}

/* 0: let it be done. */
static __always_inline __u32 shut_to(struct dentry *dentry)
{
	__u32 mark = marked();
	if (!mark)
		return 0;
	struct agent *agent = agent_of(mark - 1);
	if (!agent || !(agent->flags & ENFORCE) || !(agent->flags & WATCHED))
		return 0;
	count(HOOKED);
	return is_shut(dentry, mark - 1) ? mark : 0;
}

static __always_inline struct name_event *refused(__u32 whose, __u32 method)
{
	count(REFUSED);
	struct name_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count(LOST_RING);
		return 0;
	}
	head_of(&event->head, bpf_ktime_get_ns(), FILE_SHUT, whose - 1, REFUSED_FILE);
	__builtin_memset(&event->place, 0, sizeof(event->place));
	event->place.more = method;
	return event;
}

static __always_inline void tell_path(struct name_event *event, long size)
{
	event->length = size > 0 && size <= NAME_MAX_LEN ? size - 1 : 0;
	tell(event);
}

SEC("lsm/file_open") int BPF_PROG(file_open, struct file *file)
{
	__u32 whose = shut_to(file->f_path.dentry);
	if (!whose)
		return 0;
	struct name_event *event = refused(whose, file->f_flags & FOR_EXECUTION ? EXECUTED : OPENED);
	if (event)
		tell_path(event, bpf_d_path(&file->f_path, event->name, sizeof(event->name)));
	return -1;
}

/* Of what has no open file only the last name is told. */
static __always_inline bool refuse_entry(struct dentry *dentry, __u32 method)
{
	__u32 whose = shut_to(dentry);
	if (!whose)
		return false;
	struct name_event *event = refused(whose, method);
	if (event)
		tell_path(event, bpf_probe_read_kernel_str(event->name, sizeof(event->name), dentry->d_name.name));
	return true;
}

SEC("lsm/inode_unlink") int BPF_PROG(inode_unlink, struct inode *folder, struct dentry *dentry)
{
	if (refuse_entry(dentry, DELETED))
		return -1;
	return 0;
}

SEC("lsm/inode_rename")
int BPF_PROG(inode_rename, struct inode *folder, struct dentry *dentry, struct inode *to, struct dentry *there)
{
	/* What is there is gone when something else has its name. */
	if (refuse_entry(dentry, RENAMED) || refuse_entry(there, RENAMED))
		return -1;
	return 0;
}

SEC("lsm/path_truncate") int BPF_PROG(path_truncate, struct path *path)
{
	if (refuse_entry(path->dentry, CUT))
		return -1;
	return 0;
}
