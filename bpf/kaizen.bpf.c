/* What an agent's processes do with the network and which programs they run; seen, and refused where policy says so.
 *
 * Attached at the root cgroup: a process is an agent's because it, or an ancestor, was marked, not because of where it was moved.
 * No decision here waits for user space: policy is in maps, and if nobody attends them any more, the agent's own flags say what holds.
 */
#include "kernel.h"
#include "shapes.h"

char LICENSE[] SEC("license") = "GPL";

#define MAP(name, kind, keys, values, entries) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__type(key, keys); \
		__type(value, values); \
	} name SEC(".maps")

MAP(ended, BPF_MAP_TYPE_LRU_HASH, __u32, __u32, 16384);
MAP(agents, BPF_MAP_TYPE_ARRAY, __u32, struct agent, 64);
MAP(settings, BPF_MAP_TYPE_ARRAY, __u32, struct settings, 1);
MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct counters, 1);
MAP(names, BPF_MAP_TYPE_HASH, struct name_key, struct permit, 65536);
MAP(resolved, BPF_MAP_TYPE_LRU_HASH, struct resolved_key, struct resolved, 16384);
MAP(recent, BPF_MAP_TYPE_LRU_HASH, struct place, __u64, 16384);

/* Whose each process is, by its number: a byte each, for as many as any kernel can have. Processes that are about were made one after
 * the other, so their bytes are in caches, where a hash table's places never are when a process begins or ends. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROCESSES / MARKS_A_ROW);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct marks_row);
} marks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address_key);
	__type(value, struct permit);
} declared SEC(".maps"), denied SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

/* A socket that belongs to an agent, whoever holds it now, and who made it the agent's. */
struct owner {
	__u64 cgroup;
	__u32 agent;
	__u32 tgid;
	__u32 tid;
	__u32 parent;
	__u32 uid;
	__u32 hello; /* 0: not awaited, 1: awaited, 2: must name a declared host, 3: good, 4: refused */
	char comm[16];
	__u64 told; /* when the first place was told of to which datagrams were sent; 0: none was */
	__u8 address[16];
	__u16 port;
	__u16 pad[3];
};

/* Connections of TCP and UDP, until their sockets are gone. Each socket's cookie has one place here, which it takes if nobody else has
 * it, so nothing is searched for and nothing locked; the kernel gives cookies one after the other. What finds its place taken is put on
 * its socket, which takes memory of the kernel's, twice, and with it longer than all else that is done here. */
#define CONNECTIONS 16384
struct connection {
	__u64 cookie; /* 0: nobody's */
	struct owner owner;
};

MAP(connections, BPF_MAP_TYPE_ARRAY, __u32, struct connection, CONNECTIONS);

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps");

struct scratch {
	__u8 raw[NAME_MAX_LEN];
	char name[NAME_MAX_LEN];
	__u32 length;  /* of name */
	__u32 used;    /* bytes of raw */
	__u32 next;
	__u32 state;   /* 0: reading, 1: done, 2: malformed */
	__u64 hash;
	__u32 agent;
	__u32 generation;
	__u32 found;   /* flags of what matched */
	__u16 ports[PORTS];
	struct resolved resolved;
	struct resolved_key key;
	__u32 offset;
	__u32 end;
	__u32 addresses;
	__u32 left;
};

MAP(scratch, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct scratch, 1);

static __always_inline __u64 count(__u32 which)
{
	__u32 zero = 0;
	struct counters *counted = bpf_map_lookup_elem(&counters, &zero);
	return counted ? ++counted->of[which] : 0;
}

static __always_inline struct connection *place_for(__u64 cookie)
{
	__u32 at = cookie & (CONNECTIONS - 1);
	return bpf_map_lookup_elem(&connections, &at);
}

static __always_inline struct owner *connection_of(__u64 cookie)
{
	struct connection *place = place_for(cookie);
	return place && place->cookie == cookie ? &place->owner : 0;
}

/* The place is the next one's, which has told nothing yet. */
static __always_inline void give_back(__u64 cookie)
{
	struct connection *place = place_for(cookie);
	if (cookie && place && place->cookie == cookie) {
		place->owner.told = 0;
		__sync_val_compare_and_swap(&place->cookie, cookie, 0);
	}
}

static __always_inline __u8 *mark_of(__u32 tgid)
{
	__u32 at = tgid / MARKS_A_ROW;
	struct marks_row *row = bpf_map_lookup_elem(&marks, &at);
	return row ? &row->marks[tgid % MARKS_A_ROW] : 0;
}

/* A process's: the number of its agent and one, 0 of nobody's. */
static __always_inline __u32 mark_at(__u32 tgid)
{
	__u8 *mark = mark_of(tgid);
	return mark ? *mark : 0;
}

static __always_inline __u32 marked(void)
{
	return mark_at(bpf_get_current_pid_tgid() >> 32);
}

static __always_inline struct agent *agent_of(__u32 number)
{
	struct agent *agent = bpf_map_lookup_elem(&agents, &number);
	return agent && agent->flags & LIVE ? agent : 0;
}

static __always_inline __u64 cgroup_of(struct task_struct *current)
{
#ifdef WITH_UNIX
	return LOOSE(struct task_struct, current)->cgroups->dfl_cgrp->kn->id;
#else
	return bpf_get_current_cgroup_id();
#endif
}

/* ``task`` is the current one, and the agent's. Its fields are read where they stand, which is quicker than by helpers. */
static __always_inline void own(struct owner *owner, struct task_struct *task, __u32 agent)
{
	owner->cgroup = cgroup_of(task);
	owner->agent = agent;
	owner->tgid = task->tgid;
	owner->tid = task->pid;
	owner->parent = LOOSE(struct task_struct, task)->real_parent->tgid;
	owner->uid = LOOSE(struct task_struct, task)->cred->uid.val;
	owner->hello = 0;
	__builtin_memcpy(owner->comm, task->comm, sizeof(owner->comm));
}

/* Whether that is what ``own`` would say: by the task, its user and what it calls itself. */
static __always_inline bool is_current(struct owner *owner, struct task_struct *task, __u32 agent)
{
	__u64 *noted = (void *)owner->comm, comm[2];
	__builtin_memcpy(comm, task->comm, sizeof(comm));
	__u32 uid = LOOSE(struct task_struct, task)->cred->uid.val;
	__u32 differs = (owner->agent ^ agent) | (owner->tid ^ task->pid) | (owner->tgid ^ task->tgid) | (owner->uid ^ uid);
	return !(differs | (noted[0] ^ comm[0]) | (noted[1] ^ comm[1]));
}

/* In an skb hook the current task may be anybody: who owns the socket was noted when it was made. */
static __always_inline void head_of_owner(struct head *head, __u64 at, __u32 kind, struct owner *owner, __u32 reason)
{
	head->at = at;
	head->cgroup = owner->cgroup;
	head->kind = kind;
	head->agent = owner->agent;
	head->tgid = owner->tgid;
	head->tid = owner->tid;
	head->parent = owner->parent;
	head->uid = owner->uid;
	head->reason = reason;
	head->pad = 0;
	__builtin_memcpy(head->comm, owner->comm, sizeof(head->comm));
}

static __always_inline void head_of(struct head *head, __u64 at, __u32 kind, __u32 agent, __u32 reason)
{
	struct owner owner;
	own(&owner, (void *)bpf_get_current_task_btf(), agent);
	head_of_owner(head, at, kind, &owner, reason);
}

/* The reader looks every few milliseconds; a wake-up for each event would double the cost of a connect. Whether much has gathered is
 * looked at with every sixteenth. */
static __always_inline void tell(void *event)
{
	__u64 flags = BPF_RB_NO_WAKEUP;
	if (!(count(TOLD) & 15) && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > (256 << 10))
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(event, flags);
}

static __always_inline bool unattended(struct agent *agent, __u64 at)
{
	__u32 zero = 0;
	struct settings *s = bpf_map_lookup_elem(&settings, &zero);
	if (!s || !(agent->flags & CLOSED))
		return false;
	return (__s64)(at - s->heartbeat) > (__s64)s->patience; /* a heartbeat may be younger than ``at`` */
}

#ifdef WITH_LSM
#include "files.h"
#endif

/* Whether the port is one of those, or none is named. Two are compared at a time and nothing is branched for, since the verifier follows
 * each branch to the end of the program: where one half of ``differs`` is 0, the borrow of the subtraction leaves its highest bit. */
static __always_inline bool permits(const __u16 *ports, __u16 port)
{
	const __u32 *pairs = (const void *)ports;
	__u32 both = port * 0x10001u, met = 0;
#pragma unroll
	for (int i = 0; i < PORTS / 2; i++) {
		__u32 differs = pairs[i] ^ both;
		met |= (differs - 0x10001u) & ~differs;
	}
	return !ports[0] || met & 0x80008000u;
}

/* Whether the socket at a loopback address is one of the agent's own. */
static __always_inline bool is_own(struct bpf_sock_addr *ctx, struct place *place, __u32 agent)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	__u32 size;
	bool v4 = place->family == AF_INET;
	bool own = false;

	if (v4 ? place->address[12] != 127 : place->address[15] != 1 || place->address[0] || place->address[14])
		return false;
	if (v4) {
		__builtin_memcpy(&tuple.ipv4.daddr, place->address + 12, 4);
		__builtin_memcpy(&tuple.ipv4.saddr, place->address + 12, 4);
		tuple.ipv4.dport = bpf_htons(place->port);
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.daddr, place->address, 16);
		__builtin_memcpy(tuple.ipv6.saddr, place->address, 16);
		tuple.ipv6.dport = bpf_htons(place->port);
		size = sizeof(tuple.ipv6);
	}
	if (place->protocol == UDP)
		sk = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return true; /* nobody listens: the kernel's own refusal is the answer */
	struct owner *owner = bpf_sk_storage_get(&owners, sk, 0, 0);
	own = owner && owner->agent == agent;
	bpf_sk_release(sk);
	return own;
}

static __always_inline __u32 decide(struct bpf_sock_addr *ctx, struct agent *agent, __u32 number, struct place *place, __u64 at)
{
	struct address_key key = { .prefix = 8 * (8 + 16), .agent = number, .generation = agent->generation };
	struct permit *permit;

	__builtin_memcpy(key.address, place->address, 16);
	permit = bpf_map_lookup_elem(&denied, &key);
	if (permit && permits(permit->ports, place->port))
		return REFUSED_DENIED;
	if (unattended(agent, at))
		return REFUSED_UNATTENDED;
	if (place->protocol == UDP && place->port == 443 && agent->flags & QUIC_SHUT)
		return REFUSED_QUIC;
	bool limited = agent->flags & ENFORCE && agent->flags & DECLARED;
	permit = limited ? bpf_map_lookup_elem(&declared, &key) : 0;
	bool permitted = permit && permits(permit->ports, place->port);
	/* What is declared with its port need not be looked for among sockets; nearly always it is the proxy. */
	if (!(permitted && permit->ports[0]) && is_own(ctx, place, number))
		return PASSED_OWN;
	if (!limited)
		return PASSED;
	if (permitted) {
		/* Questions over TCP are not read here, so they are not asked. */
		if (place->protocol != UDP && place->port == 53)
			return REFUSED_PROTOCOL;
		return PASSED_DECLARED;
	}
	struct resolved_key found = { .agent = number };
	__builtin_memcpy(found.address, place->address, 16);
	struct resolved *known = bpf_map_lookup_elem(&resolved, &found);
	if (known && known->flags & (NAME_EXACT | NAME_BELOW) && permits(known->ports, place->port))
		return PASSED_NAMED;
	return REFUSED_UNDECLARED;
}

/* The address of no host leads to the one that the socket is bound to, or to loopback; of IPv6 always to loopback. */
static __always_inline __u32 true_ip4(struct bpf_sock_addr *ctx, __u32 stated)
{
	struct bpf_sock *sk = ctx->sk;
	if (!stated && sk)
		stated = sk->src_ip4;
	return stated ? stated : bpf_htonl(0x7f000001);
}

static __always_inline void place_of(struct place *place, struct bpf_sock_addr *ctx, bool six)
{
	place->cookie = bpf_get_socket_cookie(ctx);
	place->port = bpf_ntohs((__u16)ctx->user_port);
	place->protocol = ctx->protocol; /* of MPTCP it is a subflow that is connected, and that is TCP */
	place->family = AF_INET;
	place->more = 0;
	if (six) {
		__u32 a = ctx->user_ip6[0], b = ctx->user_ip6[1], c = ctx->user_ip6[2], d = ctx->user_ip6[3];
		if (!(a | b | c | d)) {
			struct bpf_sock *sk = ctx->sk;
			bool mapped = sk && !(sk->src_ip6[0] | sk->src_ip6[1] | (sk->src_ip6[2] ^ bpf_htonl(0xffff)));
			c = mapped ? bpf_htonl(0xffff) : 0;
			d = mapped ? bpf_htonl(0x7f000001) : bpf_htonl(1);
		} else if (!(a | b | (c ^ bpf_htonl(0xffff)))) {
			d = true_ip4(ctx, d);
		}
		__builtin_memcpy(place->address, &a, 4);
		__builtin_memcpy(place->address + 4, &b, 4);
		__builtin_memcpy(place->address + 8, &c, 4);
		__builtin_memcpy(place->address + 12, &d, 4);
		if (a | b | (c ^ bpf_htonl(0xffff)))
			place->family = AF_INET6;
	} else {
		__u32 d = true_ip4(ctx, ctx->user_ip4), c = bpf_htonl(0xffff), zero = 0;
		__builtin_memcpy(place->address, &zero, 4);
		__builtin_memcpy(place->address + 4, &zero, 4);
		__builtin_memcpy(place->address + 8, &c, 4);
		__builtin_memcpy(place->address + 12, &d, 4);
	}
}

static __always_inline struct owner *noted_before(struct bpf_sock_addr *ctx, struct place *place)
{
	struct owner *noted = connection_of(place->cookie);
	return noted || !ctx->sk ? noted : bpf_sk_storage_get(&owners, ctx->sk, 0, 0);
}

/* Whether it could be noted: a socket can be made to have no room for more, and its place among the connections can be taken. */
static __always_inline bool note(struct bpf_sock_addr *ctx, struct place *place, struct owner *owner)
{
	struct owner *noted = 0;
	if (!ctx->sk)
		return false;
	if (place->protocol == TCP || place->protocol == UDP) {
		struct connection *own = place_for(place->cookie);
		if (own && (own->cookie == place->cookie || !__sync_val_compare_and_swap(&own->cookie, 0, place->cookie)))
			noted = &own->owner;
	}
	if (!noted)
		noted = bpf_sk_storage_get(&owners, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!noted)
		return false;
	*noted = *owner;
	return true;
}

/* One datagram after the other to one place is one thing to tell: the first place of a socket is kept with whose it is. */
static __always_inline bool told_just_now(struct owner *owner, struct place *place, __u64 now)
{
	__u64 *first = (void *)owner->address, *this = (void *)place->address;
	if (!owner->told || !((owner->port ^ place->port) | (first[0] ^ this[0]) | (first[1] ^ this[1]))) {
		if (owner->told && now - owner->told < SECOND)
			return true;
		owner->told = now;
		owner->port = place->port;
		__builtin_memcpy(owner->address, place->address, sizeof(owner->address));
		return false;
	}
	__u64 *last = bpf_map_lookup_elem(&recent, place);
	if (last && now - *last < SECOND)
		return true;
	bpf_map_update_elem(&recent, place, &now, BPF_ANY);
	return false;
}

static __always_inline int reach(struct bpf_sock_addr *ctx, __u32 kind, bool six)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	__u32 mark = mark_at(task->tgid);
	if (!mark)
		return 1;
	__u32 number = mark - 1;
	struct agent *agent = agent_of(number);
	if (!agent)
		return 1;
	count(HOOKED);
	__u64 now = bpf_ktime_get_ns(); /* a clock is read once: hardly anything that is done here takes as long */
	struct place place = {};
	place_of(&place, ctx, six);
	__u32 reason = decide(ctx, agent, number, &place, now);
	struct owner owner = {};
	struct owner *noted = kind == SEND ? noted_before(ctx, &place) : 0;
	bool current = noted && is_current(noted, task, number), again = false;
	if (noted)
		owner = *noted;
	if (!current) {
		own(&owner, task, number);
		owner.hello = place.port != 443 || place.protocol == UDP ? 0 : reason == PASSED_NAMED ? 2 : 1;
	}
	if (kind == SEND)
		again = told_just_now(&owner, &place, now);
	if (current) {
		if (!again) {
			/* No more than was looked at: of a place that another thread's call has set free meanwhile, whose it is and which
			 * names it must say are another connection's by now. */
			noted->told = owner.told;
			noted->port = owner.port;
			__builtin_memcpy(noted->address, owner.address, sizeof(owner.address));
		}
	} else if (!note(ctx, &place, &owner)) {
		/* Nobody would read what it sends, whose names are to be read. */
		count(LOST_MARK);
		if (reason < REFUSED_DENIED && agent->flags & ENFORCE)
			reason = REFUSED_PROTOCOL;
	}
	if (reason >= REFUSED_DENIED)
		count(REFUSED);
	if (again) {
		count(REPEATED);
		return reason < REFUSED_DENIED;
	}
	struct net_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (event) {
		head_of_owner(&event->head, now, kind, &owner, reason);
		event->place = place;
		tell(event);
	} else {
		count(LOST_RING);
	}
	return reason < REFUSED_DENIED;
}

SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) { return reach(ctx, CONNECT, false); }
SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx) { return reach(ctx, CONNECT, true); }
SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx) { return reach(ctx, SEND, false); }
SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *ctx) { return reach(ctx, SEND, true); }

/* Whose a socket is that others may connect to: what is bound here. One that connects or sends is noted when it does. */
static __always_inline int bound(struct bpf_sock_addr *ctx)
{
	__u32 mark = marked();
	struct owner *owner;
	if (mark && agent_of(mark - 1) && ctx->sk && (owner = bpf_sk_storage_get(&owners, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE))) {
		__u32 hello = owner->hello; /* to bind what is connected is refused, but not before this */
		own(owner, (void *)bpf_get_current_task_btf(), mark - 1);
		owner->hello = hello;
	}
	return 1;
}

SEC("cgroup/bind4") int bind4(struct bpf_sock_addr *ctx) { return bound(ctx); }
SEC("cgroup/bind6") int bind6(struct bpf_sock_addr *ctx) { return bound(ctx); }

SEC("cgroup/sock_create") int sock_create(struct bpf_sock *ctx)
{
	bool plain = ctx->type != SOCK_RAW && (ctx->protocol == TCP || ctx->protocol == UDP || ctx->protocol == MPTCP);
	if (plain)
		return 1;
	__u32 mark = marked();
	if (!mark)
		return 1;
	__u32 number = mark - 1;
	struct agent *agent = agent_of(number);
	if (!agent)
		return 1;
	count(HOOKED);
	struct owner *owner = bpf_sk_storage_get(&owners, ctx, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (owner)
		own(owner, (void *)bpf_get_current_task_btf(), number);
	bool refuse = agent->flags & ENFORCE;
	struct net_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (refuse)
		count(REFUSED);
	if (event) {
		head_of(&event->head, bpf_ktime_get_ns(), SOCKET, number, refuse ? REFUSED_PROTOCOL : PASSED);
		__builtin_memset(&event->place, 0, sizeof(event->place));
		event->place.family = ctx->family;
		event->place.protocol = ctx->protocol;
		event->place.more = ctx->type;
		tell(event);
	} else {
		count(LOST_RING);
	}
	return !refuse;
}

#ifdef WITH_UNIX
/* Which services of this machine it talks to. The kernel knows this place from 6.7 on, so this stands in a variant of its own; libbpf
 * does not know it yet, so build.py writes its number over that of the section's. What is refused is not decided here: a path has many
 * spellings, and the agent's mount namespace knows them all. */
extern void *bpf_cast_to_kern_ctx(void *) __ksym;

SEC("cgroup/connect4") int connect_unix(struct bpf_sock_addr *ctx)
{
	__u32 mark = marked();
	if (!mark || !agent_of(mark - 1))
		return 1;
	count(HOOKED);
	struct bpf_sock_addr_kern *kern = bpf_cast_to_kern_ctx(ctx);
	struct name_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count(LOST_RING);
		return 1;
	}
	head_of(&event->head, bpf_ktime_get_ns(), UNIX, mark - 1, PASSED);
	__builtin_memset(&event->place, 0, sizeof(event->place));
	__u32 length = kern->uaddrlen - 2;
	if (length > 108)
		length = 0;
	event->length = length;
	bpf_probe_read_kernel(event->name, length, (char *)kern->uaddr + 2);
	tell(event);
	return 1;
}
#endif

#include "packets.h"
#include "processes.h"
