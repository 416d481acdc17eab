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

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	struct mm_struct *mm;
};

struct bpf_sock_addr_kern {
	void *uaddr;
	__u32 uaddrlen;
};

struct linux_binprm {
	const char *filename;
};

#pragma clang attribute pop

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

#define AF_INET 2
#define AF_INET6 10
#define SOCK_RAW 3
#define TCP 6
#define UDP 17
#define MPTCP 262
#define ETH_IP 0x0800
#define ETH_IPV6 0x86dd
