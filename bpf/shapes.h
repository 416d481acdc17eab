/* What user space and the programs exchange. kaizen_security/collectors/kernel/shapes.py says the same in Python; a test compares. */
#pragma once

#include <linux/types.h>

#define NAME_MAX_LEN 256
#define FILE_MAX_LEN 256
#define ARGS_MAX_LEN 768
#define PORTS 8
#define PROCESSES 4194304 /* PID_MAX_LIMIT: no kernel numbers more */
#define MARKS_A_ROW 64

/* Kinds of event. */
enum { CONNECT = 1, SEND = 2, QUESTION = 3, ANSWER = 4, HELLO = 5, EXEC = 6, SOCKET = 7, UNIX = 8, FILE_SHUT = 9 };

/* What was to be done to a file (more of FILE_SHUT). */
enum { OPENED = 1, EXECUTED = 2, DELETED = 3, RENAMED = 4, CUT = 5 };

/* Why it was let pass or refused. From REFUSED_DENIED on it was refused. */
enum {
	PASSED = 0,
	PASSED_DECLARED = 1,
	PASSED_NAMED = 2,
	PASSED_OWN = 3,
	REFUSED_DENIED = 16,
	REFUSED_UNDECLARED = 17,
	REFUSED_QUIC = 18,
	REFUSED_UNATTENDED = 19,
	REFUSED_NAME = 20,
	REFUSED_MALFORMED = 21,
	REFUSED_PROTOCOL = 22,
	REFUSED_FILE = 32,
};

/* Flags of an agent. */
enum { ENFORCE = 1, CLOSED = 2, DECLARED = 4, QUIC_SHUT = 8, LIVE = 16, WATCHED = 32 };

/* Flags of a name in the tables. */
enum { NAME_EXACT = 1, NAME_BELOW = 2, NAME_DENIED = 4, NAME_DENIED_BELOW = 8 };

/* Counters. */
enum { HOOKED, TOLD, REFUSED, LOST_RING, LOST_MARK, LOST_NAME, REPEATED, COUNTERS };

struct agent {
	__u32 flags;
	__u32 generation;
};

struct settings {
	__u64 seed;
	__u64 prime;
	__u64 heartbeat; /* CLOCK_MONOTONIC, ns */
	__u64 patience;  /* ns without a heartbeat after which nobody attends */
};

struct marks_row {
	__u8 marks[MARKS_A_ROW]; /* of each process: its agent's number and one, 0: nobody's */
};

struct counters {
	__u64 of[COUNTERS];
};

struct address_key {
	__u32 prefix;
	__u32 agent;
	__u32 generation;
	__u8 address[16];
};

struct name_key {
	__u64 hash;
	__u32 agent;
	__u32 generation;
};

struct file_key {
	__u64 inode;
	__u32 device; /* as the kernel has it: 12 bits, then 20 */
	__u32 agent;
};

struct permit {
	__u32 flags;
	__u16 ports[PORTS]; /* host order; all zero: any */
};

struct resolved_key {
	__u32 agent;
	__u8 address[16];
};

struct resolved {
	__u64 at;
	__u32 flags; /* NAME_EXACT: declared */
	__u16 ports[PORTS];
	__u32 length;
	char name[64];
};

struct head {
	__u64 at; /* CLOCK_MONOTONIC, ns */
	__u64 cgroup;
	__u32 kind;
	__u32 agent;
	__u32 tgid;
	__u32 tid;
	__u32 parent;
	__u32 uid;
	__u32 reason;
	__u32 pad;
	char comm[16];
};

struct place {
	__u64 cookie;
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u16 port;       /* host order */
	__u8 family;
	__u8 protocol;
	__u32 more; /* SOCKET: type; QUESTION: type of record; ANSWER: addresses */
};

struct net_event {
	struct head head;
	struct place place;
};

struct name_event {
	struct head head;
	struct place place;
	__u32 length;
	char name[NAME_MAX_LEN];
};

struct exec_event {
	struct head head;
	__u32 file_length;
	__u32 args_length;
	char words[FILE_MAX_LEN + ARGS_MAX_LEN]; /* file, then args, of their lengths */
};
