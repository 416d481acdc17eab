/* Names on the wire: questions and answers of DNS, the server's name in a TLS hello. All that is parsed here was written by the agent
 * or by whoever it talks to, so every length is checked against what is there, and what cannot be read is refused in enforce mode. */
#pragma once

#define DNS_HEAD 12
#define QUESTION_REST 64 /* bytes behind the question: room for EDNS, not for data */

/* Labels in raw become a dotted name in lower case. */
static long read_label(__u32 i, struct scratch **at)
{
	struct scratch *s = *at;
	i &= NAME_MAX_LEN - 1;
	__u8 c = s->raw[i];
	if (i == s->next) {
		if (c == 0) {
			s->state = 1;
			s->used = i + 1;
			s->length = i ? i - 1 : 0;
			return 1;
		}
		if (c > 63) {
			s->state = 2;
			return 1;
		}
		s->next = i + c + 1;
		c = '.';
	} else if (c >= 'A' && c <= 'Z') {
		c += 'a' - 'A';
	} else if (c == '.') {
		c = '_'; /* a dot inside a label must not look like two labels */
	}
	if (i)
		s->name[(i - 1) & (NAME_MAX_LEN - 1)] = c;
	return 0;
}

static __always_inline bool read_name(struct scratch *s, struct __sk_buff *skb, __u32 offset)
{
	__u32 room = skb->len > offset ? skb->len - offset : 0;
	s->state = 0;
	s->next = 0;
	s->length = 0;
	s->used = 0;
	if (room > NAME_MAX_LEN - 1)
		room = NAME_MAX_LEN - 1;
	if (room == 0)
		return false;
	__builtin_memset(s->raw, 0xff, sizeof(s->raw));
	if (bpf_skb_load_bytes(skb, offset, s->raw, BETWEEN(1, room, NAME_MAX_LEN)))
		return false;
	bpf_loop(NAME_MAX_LEN, read_label, &s, 0);
	return s->state == 1;
}

static __always_inline void note_ports(struct scratch *s, struct permit *permit)
{
#pragma unroll
	for (int i = 0; i < PORTS; i++)
		s->ports[i] = permit->ports[i];
}

/* From the last character to the first: at every label's beginning, what was hashed so far is a suffix that may stand in the table. */
static long look_up(__u32 i, struct scratch **at)
{
	struct scratch *s = *at;
	__u32 zero = 0;
	struct settings *k = bpf_map_lookup_elem(&settings, &zero);
	if (!k)
		return 1;
	if (i > s->length)
		return 1;
	bool whole = i == s->length;
	char c = whole ? '.' : s->name[(s->length - 1 - i) & (NAME_MAX_LEN - 1)];
	if (c == '.') {
		struct name_key key = { .hash = s->hash, .agent = s->agent, .generation = s->generation };
		struct permit *permit = bpf_map_lookup_elem(&names, &key);
		if (permit) {
			__u32 flags = permit->flags;
			if (whole)
				flags &= NAME_EXACT | NAME_DENIED;
			else
				flags &= NAME_BELOW | NAME_DENIED_BELOW;
			if (flags & (NAME_EXACT | NAME_BELOW))
				note_ports(s, permit);
			s->found |= flags;
		}
	}
	if (whole)
		return 1;
	s->hash = (s->hash ^ (__u8)c) * k->prime;
	return 0;
}

static __always_inline __u32 find(struct scratch *s, __u32 number, struct agent *agent)
{
	__u32 zero = 0;
	struct settings *k = bpf_map_lookup_elem(&settings, &zero);
	s->hash = k ? k->seed : 0;
	s->agent = number;
	s->generation = agent->generation;
	s->found = 0;
	__builtin_memset(s->ports, 0, sizeof(s->ports));
	bpf_loop(NAME_MAX_LEN, look_up, &s, 0);
	return s->found;
}

static __always_inline void tell_name(struct scratch *s, struct owner *owner, struct place *place, __u32 kind, __u32 reason)
{
	struct name_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count(LOST_RING);
		return;
	}
	head_of_owner(&event->head, bpf_ktime_get_ns(), kind, owner, reason);
	event->place = *place;
	event->length = s->length;
	__builtin_memcpy(event->name, s->name, NAME_MAX_LEN);
	tell(event);
}

static __always_inline __u32 judge_name(__u32 found, struct agent *agent)
{
	if (found & (NAME_DENIED | NAME_DENIED_BELOW))
		return REFUSED_DENIED;
	if (!(agent->flags & ENFORCE) || !(agent->flags & DECLARED))
		return PASSED;
	return found & (NAME_EXACT | NAME_BELOW) ? PASSED_DECLARED : REFUSED_NAME;
}

/* A question that goes out (RFC 1035, section 4.1). */
static __always_inline __u32 question(struct __sk_buff *skb, __u32 at, struct owner *owner, struct agent *agent, struct place *place)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	__u16 head[6], type = 0;
	bool strict = agent->flags & ENFORCE && agent->flags & DECLARED;

	if (!s)
		return strict ? REFUSED_MALFORMED : PASSED;
	if (bpf_skb_load_bytes(skb, at, head, sizeof(head)) || !read_name(s, skb, at + DNS_HEAD)) {
		count(LOST_NAME);
		return strict ? REFUSED_MALFORMED : PASSED;
	}
	__u32 end = at + DNS_HEAD + s->used + 4;
	bpf_skb_load_bytes(skb, end - 4, &type, 2);
	place->more = bpf_ntohs(type);
	__u32 reason = judge_name(find(s, owner->agent, agent), agent);
	/* One standard question and nothing else; what would follow it could be data. */
	bool odd = head[1] & bpf_htons(0xf800) || head[2] != bpf_htons(1) || head[3] || head[4];
	/* What is cut into several datagrams further down (UDP_SEGMENT) is several questions. */
	if (reason < REFUSED_DENIED && strict && (odd || skb->gso_size || skb->len > end + QUESTION_REST))
		reason = REFUSED_MALFORMED;
	tell_name(s, owner, place, QUESTION, reason);
	return reason;
}

static __always_inline void resolve(struct scratch *s)
{
	s->key.agent = s->agent;
	s->resolved.at = bpf_ktime_get_ns();
	s->resolved.flags = s->found;
	__builtin_memcpy(s->resolved.ports, s->ports, sizeof(s->ports));
	s->resolved.length = s->length;
	__builtin_memcpy(s->resolved.name, s->name, sizeof(s->resolved.name));
	struct resolved *known = bpf_map_lookup_elem(&resolved, &s->key);
	/* An address that a declared name has stays one, whatever other name shares it; its hello is still read. */
	if (known && known->flags & (NAME_EXACT | NAME_BELOW) && !(s->found & (NAME_EXACT | NAME_BELOW)))
		return;
	bpf_map_update_elem(&resolved, &s->key, &s->resolved, BPF_ANY);
	s->addresses += 1;
}

struct walk {
	struct scratch *s;
	struct __sk_buff *skb;
};

static long skip_label(__u32 i, struct walk *walk)
{
	__u8 c = 0;
	if (bpf_skb_load_bytes(walk->skb, walk->s->offset, &c, 1)) {
		walk->s->state = 2;
		return 1;
	}
	if (c >= 0xc0) {
		walk->s->offset += 2;
		return 1;
	}
	walk->s->offset += c + 1;
	return c == 0;
}

static long read_record(__u32 i, struct walk *walk)
{
	struct scratch *s = walk->s;
	__u16 field[5];
	if (i >= s->left)
		return 1;
	bpf_loop(128, skip_label, walk, 0);
	if (s->state == 2 || bpf_skb_load_bytes(walk->skb, s->offset, field, sizeof(field))) {
		s->state = 2;
		return 1;
	}
	__u16 type = bpf_ntohs(field[0]), size = bpf_ntohs(field[4]);
	__u32 data = s->offset + 10;
	s->offset = data + size;
	if (type == 1 && size == 4) {
		__builtin_memset(s->key.address, 0, 16);
		s->key.address[10] = s->key.address[11] = 0xff;
		if (!bpf_skb_load_bytes(walk->skb, data, s->key.address + 12, 4))
			resolve(s);
	} else if (type == 28 && size == 16) {
		if (!bpf_skb_load_bytes(walk->skb, data, s->key.address, 16))
			resolve(s);
	}
	return 0;
}

/* An answer that comes in: its addresses are the name's before the application has read it, so no connect is earlier. */
static __always_inline void answer(struct __sk_buff *skb, __u32 at, struct owner *owner, struct agent *agent, struct place *place)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	__u16 head[6];
	struct walk walk = { .skb = skb };

	if (!s || bpf_skb_load_bytes(skb, at, head, sizeof(head)) || !(head[1] & bpf_htons(0x8000)) || head[2] != bpf_htons(1))
		return;
	if (!read_name(s, skb, at + DNS_HEAD)) {
		count(LOST_NAME);
		return;
	}
	find(s, owner->agent, agent);
	s->offset = at + DNS_HEAD + s->used + 4;
	s->left = bpf_ntohs(head[3]);
	s->addresses = 0;
	s->state = 1;
	walk.s = s;
	bpf_loop(64, read_record, &walk, 0);
	place->more = s->addresses;
	tell_name(s, owner, place, ANSWER, PASSED);
}

static long read_extension(__u32 i, struct walk *walk)
{
	struct scratch *s = walk->s;
	__u16 field[2], size;
	if (s->offset + 4 > s->end)
		return 1;
	if (bpf_skb_load_bytes(walk->skb, s->offset, field, sizeof(field))) {
		s->state = 2;
		return 1;
	}
	if (field[0] == 0) { /* server_name: list length, type, name length, name (RFC 6066, section 3) */
		s->offset += 4 + 3;
		s->state = 1;
		return 1;
	}
	size = bpf_ntohs(field[1]);
	s->offset += 4 + size;
	return 0;
}

/* The name becomes lower case, as it stands in the tables. */
static long lower(__u32 i, struct scratch **at)
{
	struct scratch *s = *at;
	if (i >= s->length)
		return 1;
	i &= NAME_MAX_LEN - 1;
	char c = s->raw[i];
	s->name[i] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
	return 0;
}

/* The first bytes that a client sends on port 443 (RFC 8446, section 4.1.2). A hello in pieces, or none, has no name. */
static __always_inline bool read_hello(struct scratch *s, struct __sk_buff *skb, __u32 at)
{
	struct walk walk = { .s = s, .skb = skb };
	__u8 head[6], session = 0, methods = 0;
	__u16 suites = 0, extensions = 0, size = 0;

	s->length = 0;
	s->state = 0;
	if (bpf_skb_load_bytes(skb, at, head, sizeof(head)) || head[0] != 22 || head[1] != 3 || head[5] != 1)
		return false;
	at += 5 + 4 + 2 + 32;
	if (bpf_skb_load_bytes(skb, at, &session, 1))
		return false;
	at += 1 + session;
	if (bpf_skb_load_bytes(skb, at, &suites, 2))
		return false;
	at += 2 + bpf_ntohs(suites);
	if (bpf_skb_load_bytes(skb, at, &methods, 1))
		return false;
	at += 1 + methods;
	if (bpf_skb_load_bytes(skb, at, &extensions, 2))
		return false;
	s->offset = at + 2;
	s->end = s->offset + bpf_ntohs(extensions);
	bpf_loop(64, read_extension, &walk, 0);
	if (s->state != 1 || bpf_skb_load_bytes(skb, s->offset, &size, 2))
		return false;
	__u32 length = bpf_ntohs(size);
	if (length == 0 || length >= NAME_MAX_LEN)
		return false;
	if (bpf_skb_load_bytes(skb, s->offset + 2, s->raw, BETWEEN(1, length, NAME_MAX_LEN)))
		return false;
	s->length = length;
	bpf_loop(NAME_MAX_LEN, lower, &s, 0);
	return true;
}

/* ``awaited``: what the owner said of it when it was looked at. A socket's packets come here one at a time, since it is locked while it
 * sends; but not where something further down held them (NFQUEUE): two may then be read at once, and what is refused stays so. */
static __always_inline __u32
hello(struct __sk_buff *skb, __u32 at, struct owner *owner, __u32 awaited, struct agent *agent, struct place *place)
{
	__u32 zero = 0, reason;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	bool must = awaited == 2;

	if (!s)
		return must ? REFUSED_MALFORMED : PASSED;
	if (read_hello(s, skb, at)) {
		reason = judge_name(find(s, owner->agent, agent), agent);
		/* Where the address itself is declared, what is behind it was declared with it; a denied name is refused all the same. */
		if (reason == REFUSED_NAME && !must)
			reason = PASSED;
	} else {
		s->length = 0;
		reason = must ? REFUSED_MALFORMED : PASSED;
	}
	if (reason >= REFUSED_DENIED)
		owner->hello = 4;
	else
		__sync_val_compare_and_swap(&owner->hello, awaited, 3);
	tell_name(s, owner, place, HELLO, reason);
	return reason;
}
