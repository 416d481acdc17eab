/* What these programs read of the kernel's own structures. The kernel relocates every access when it loads them (CO-RE), so only the
 * fields that are used are named, and their places here mean nothing. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	const struct cred *cred;
	struct css_set *cgroups;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	struct mm_struct *mm;
	char comm[16];
};

typedef struct {
	long long counter;
} atomic64_t;

struct sock_common {
	atomic64_t skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
};

struct bpf_ringbuf {
	__u64 mask;
	unsigned long consumer_pos;
	unsigned long producer_pos;
};

struct bpf_ringbuf_map {
	struct bpf_ringbuf *rb;
};

struct bpf_sock_addr_kern {
	void *uaddr;
	__u32 uaddrlen;
};

struct super_block {
	unsigned int s_dev;
};

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	unsigned int f_flags;
};

struct linux_binprm {
	const char *filename;
};

#pragma clang attribute pop

/* ``at`` as a pointer that the verifier knows nothing good of, which makes no difference to what is read. For every pointer that is
 * read through one that it trusts, on every way that it follows, it searches all types of the kernel four times (4 ms); through this
 * one never. Before 6.2 there is neither. */
#ifdef WITH_UNIX
extern void *bpf_rdonly_cast(void *, __u32) __ksym;
#define LOOSE(type, at) ((type *)bpf_rdonly_cast(at, bpf_core_type_id_kernel(type)))
#else
#define LOOSE(type, at) (at)
#endif

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

/* A length of which we know that it is from 1 to a power of two, said so that the verifier of every kernel knows it as well: what the
 * compiler takes for granted it leaves out, and Linux 6.1 learns nothing of a comparison with 0. */
#define BETWEEN(one, length, most) ({ __u32 less = (length) - (one); barrier_var(less); (less & ((most) - 1)) + (one); })

#define SECOND 1000000000ULL
#define AF_INET 2
#define AF_INET6 10
#define SOCK_RAW 3
#define TCP 6
#define UDP 17
#define MPTCP 262
#define ETH_IP 0x0800
#define ETH_IPV6 0x86dd
