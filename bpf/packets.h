/* What leaves and what comes in: which packets are looked at, and whether they go where their socket was let go. */
#pragma once

#include "names.h"

#define LOOSE_ROUTE 131
#define STRICT_ROUTE 137

/* Where the transport's header begins and what it is; 0 for what has none that is read here. */
static __always_inline __u32 transport(struct __sk_buff *skb, struct place *place, bool out)
{
	__u8 first = 0;
	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return 0;
	if (first >> 4 == 4) {
		if (bpf_skb_load_bytes(skb, 9, &place->protocol, 1))
			return 0;
		place->family = AF_INET;
		place->address[10] = place->address[11] = 0xff;
		bpf_skb_load_bytes(skb, out ? 16 : 12, place->address + 12, 4);
		return (first & 15) * 4;
	}
	if (bpf_skb_load_bytes(skb, 6, &place->protocol, 1))
		return 0;
	place->family = AF_INET6;
	bpf_skb_load_bytes(skb, out ? 24 : 8, place->address, 16);
	return 40;
}

/* Whether there is anything to read in a packet: nearly none has, and who owns its socket need not be asked. The headers of what a
 * socket sends lie in one piece; where they do not, or are not plain ones, it is looked at. */
static __always_inline bool of_interest(struct __sk_buff *skb, bool out)
{
	__u8 *at = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 protocol;
	__u16 port;

	if (at + 20 + 4 > end)
		return true;
	if (at[0] == 0x45) {
		protocol = at[9];
		port = *(__u16 *)(at + 20 + (out ? 2 : 0));
	} else if (at[0] >> 4 == 6) {
		if (at + 40 + 4 > end)
			return true;
		protocol = at[6];
		port = *(__u16 *)(at + 40 + (out ? 2 : 0));
	} else {
		return true;
	}
	if (protocol == TCP)
		return out && port == bpf_htons(443);
	return protocol != UDP || port == bpf_htons(53);
}

static long read_option(__u32 i, struct scratch **at)
{
	struct scratch *s = *at;
	if (i >= s->end)
		return 1;
	__u8 c = s->raw[i & 63], size = s->raw[(i + 1) & 63];
	if (i != s->next)
		return 0;
	if (c == 0) /* the end */
		return 1;
	if (c != 1 && (c == LOOSE_ROUTE || c == STRICT_ROUTE || size < 2)) {
		s->state = 2;
		return 1;
	}
	s->next = i + (c == 1 ? 1 : size);
	return 0;
}

/* Whether a packet says by which hosts it is to go (RFC 791, section 3.1; RFC 8200, section 4.4), so that its address is not the one
 * that was judged; or, of IPv6, has extensions at all, which hide the transport. */
static __always_inline bool led_elsewhere(struct __sk_buff *skb, struct place *place, __u32 at)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);

	if (place->family == AF_INET6)
		return place->protocol == 0 || place->protocol == 43 || place->protocol == 44 || place->protocol == 60;
	if (at <= 20)
		return false;
	if (!s || bpf_skb_load_bytes(skb, 20, s->raw, BETWEEN(1, at - 20, 64)))
		return true;
	s->next = 0;
	s->state = 0;
	s->end = at - 20;
	bpf_loop(40, read_option, &s, 0);
	return s->state == 2;
}

static __always_inline __u32 detour(struct owner *owner, struct agent *agent, struct place *place)
{
	struct address_key key = { .prefix = 8 * (8 + 16), .agent = owner->agent, .generation = agent->generation };
	if (place->family == AF_INET6)
		place->port = 0; /* what stands there is no port */
	__u64 now = bpf_ktime_get_ns(), *last = bpf_map_lookup_elem(&recent, place);
	__builtin_memcpy(key.address, place->address, 16);
	__u32 reason = bpf_map_lookup_elem(&denied, &key) ? REFUSED_DENIED : agent->flags & ENFORCE ? REFUSED_PROTOCOL : PASSED;
	if (last && now - *last < SECOND) {
		count(REPEATED);
		return reason;
	}
	bpf_map_update_elem(&recent, place, &now, BPF_ANY);
	struct net_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count(LOST_RING);
		return reason;
	}
	head_of_owner(&event->head, now, SEND, owner, reason);
	event->place = *place;
	tell(event);
	return reason;
}

static __always_inline int packet(struct __sk_buff *skb, bool out)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk || !of_interest(skb, out))
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct owner *owner = connection_of(cookie);
	if (!owner)
		owner = bpf_sk_storage_get(&owners, sk, 0, 0);
	if (!owner)
		return 1;
	struct agent *agent = agent_of(owner->agent);
	if (!agent)
		return 1;
	struct place place = {};
	__u32 at = transport(skb, &place, out);
	__u16 port = 0;
	if (!at || bpf_skb_load_bytes(skb, at + (out ? 2 : 0), &port, 2))
		return 1;
	place.port = bpf_ntohs(port);
	place.cookie = cookie;
	__u32 reason = PASSED, awaited;
	if (out && led_elsewhere(skb, &place, at)) {
		reason = detour(owner, agent, &place);
	} else if (place.protocol == UDP && place.port == 53) {
		if (out) {
			reason = question(skb, at + 8, owner, agent, &place);
		} else if (agent->flags & ENFORCE && agent->flags & DECLARED) {
			/* Only who may be asked may answer: an agent could tell itself whatever address it likes. */
			struct address_key key = { .prefix = 8 * (8 + 16), .agent = owner->agent, .generation = agent->generation };
			__builtin_memcpy(key.address, place.address, 16);
			struct permit *permit = bpf_map_lookup_elem(&declared, &key);
			if (permit && permits(permit->ports, 53))
				answer(skb, at + 8, owner, agent, &place);
		} else {
			answer(skb, at + 8, owner, agent, &place);
		}
	} else if (out && place.protocol == TCP && (awaited = owner->hello)) {
		if (awaited == 4)
			return 0;
		__u8 size = 0;
		if (awaited == 3 || bpf_skb_load_bytes(skb, at + 12, &size, 1))
			return 1;
		__u32 data = at + (size >> 4) * 4;
		if (skb->len > data)
			reason = hello(skb, data, owner, awaited, agent, &place);
	}
	if (reason >= REFUSED_DENIED)
		count(REFUSED);
	return reason < REFUSED_DENIED;
}

SEC("cgroup_skb/egress") int egress(struct __sk_buff *skb) { return packet(skb, true); }
SEC("cgroup_skb/ingress") int ingress(struct __sk_buff *skb) { return packet(skb, false); }

/* What leaves a socket of TCP that was closed is still looked at: here nothing more can. */
SEC("tp_btf/tcp_destroy_sock") int BPF_PROG(gone, struct sock *sk)
{
	give_back(sk->__sk_common.skc_cookie.counter);
	return 0;
}

/* Nothing leaves a socket of UDP after its last descriptor is gone: what was put together for later is thrown away. */
SEC("cgroup/sock_release") int sock_release(struct bpf_sock *ctx)
{
	if (ctx->protocol == UDP)
		give_back(bpf_get_socket_cookie(ctx));
	return 1;
}
