/**
 * MCP: calls of tools judged where they pass, on the client's or on the server's side (the official SDKs, 1.x and 2.x; nothing of them is
 * imported).
 *
 * The transport is guarded, not one method of a class: whatever sends `tools/call` (a client's `callTool`, a bare request, a task, a
 * batch) passes there. A blocked call is answered with a result that is an error, whose text the model reads; it goes no further.
 */

import { actionOfCall, type GuardOptions } from "./client/guard.js";
import type { Kaizen } from "./client/kaizen.js";
import type { Action, Json } from "./contract/action.js";
import type { Verdict } from "./contract/verdict.js";

// biome-ignore lint/suspicious/noExplicitAny: messages and options are the SDK's own
type Any = any;

interface AnyTransport {
  onmessage?: ((message: Any, extra?: Any) => Any) | undefined;
  onerror?: ((err: Error) => void) | undefined;
  send: (message: Any, options?: Any) => Promise<Any>;
}

interface Connecting {
  connect: (transport: Any, options?: Any) => Promise<Any>;
  /** The one that it is connected to. */
  readonly transport?: object | undefined;
  /** What an `McpServer` does its work by. */
  readonly server?: Connecting | undefined;
}

/** On which side of the transport the guard stands: calls go out of a client, and come in to a server. */
export type Side = "client" | "server";

const guarded = new WeakSet<object>();
const MAX_OPEN = 1000;

/** The calls that one transport carries. */
class Calls {
  private readonly open = new Map<unknown, Action>();
  private readonly judging = new Map<unknown, AbortController>();

  constructor(
    private readonly kaizen: Kaizen,
    private readonly options: GuardOptions,
  ) {}

  /** The refusal of a call that is blocked; "gone" when it was cancelled while it was judged; undefined: it may go on. */
  async refusal(message: Any): Promise<Json | "gone" | undefined> {
    const { id, method, params } = message ?? {};
    if (method === "notifications/cancelled") this.judging.get(params?.requestId)?.abort();
    if (method !== "tools/call") return undefined;
    const name = typeof params?.name === "string" ? params.name : "";
    const call = actionOfCall(this.kaizen, name, [params?.arguments ?? {}], this.options);
    const verdict = await this.unlessCancelled(id, call);
    if (verdict === "gone") return "gone";
    if (!verdict.blocked) {
      if (id !== undefined) this.open.set(id, call);
      if (this.open.size > MAX_OPEN) this.open.delete(this.open.keys().next().value);
      return undefined;
    }
    const content = [{ type: "text", text: `Blocked by Kaizen: ${verdict.reason}` }];
    // A notification has nobody who waits for an answer.
    return id === undefined ? "gone" : { jsonrpc: "2.0", id, result: { content, isError: true } };
  }

  private async unlessCancelled(id: unknown, call: Action): Promise<Verdict | "gone"> {
    const cancelled = new AbortController();
    // A notification has no id by which it could be cancelled.
    if (id !== undefined) this.judging.set(id, cancelled);
    try {
      const verdict = await this.kaizen.inspect(call, cancelled);
      return cancelled.signal.aborted ? "gone" : verdict;
    } catch (err) {
      if (cancelled.signal.aborted) return "gone";
      throw err;
    } finally {
      this.judging.delete(id);
    }
  }

  /** Note what a call brought back. */
  answered(message: Any): void {
    const call = this.open.get(message?.id);
    if (call === undefined || message.method !== undefined) return;
    this.open.delete(message.id);
    const { result, error } = message;
    this.kaizen.noteResult(
      call,
      result?.structuredContent ?? result?.content ?? result ?? null,
      error !== undefined || result?.isError === true,
    );
  }
}

/** The same transport; calls of tools that pass it are judged first. */
export function guardTransport<T extends object>(
  kaizen: Kaizen,
  transport: T,
  side: Side,
  options: Omit<GuardOptions, "tool"> = {},
): T {
  if (guarded.has(transport)) return transport;
  guarded.add(transport);
  const calls = new Calls(kaizen, { source: "mcp", ...options });
  const one = transport as unknown as AnyTransport;
  const send = one.send.bind(transport);
  let listener = one.onmessage;
  let previous: AnyTransport["onmessage"];
  const delivered = new WeakSet<object>();
  const deliver = (message: Any, extra?: Any) => {
    if (typeof message !== "object" || message === null) return listener?.call(transport, message, extra);
    delivered.add(message);
    try {
      return listener?.call(transport, message, extra);
    } finally {
      delivered.delete(message);
    }
  };

  const outgoing = async (message: Any, how?: Any): Promise<Any> => {
    for (const part of parts(message)) calls.answered(part);
    if (side === "server") return send(message, how);
    const allowed = await sifted(message, calls, (refusal) => queueMicrotask(() => deliver(refusal)));
    return allowed === undefined ? undefined : send(allowed, how);
  };
  const incoming = (message: Any, extra?: Any): Any => {
    // SDKs put their listener around the one that they find there, which is this one: then it stands for the one before theirs.
    if (delivered.has(message)) return previous?.call(transport, message, extra);
    for (const part of parts(message)) calls.answered(part);
    const isCall =
      side === "server" && parts(message).some((part) => /^(?:tools\/call|notifications\/cancelled)$/.test(part?.method));
    if (!isCall) return deliver(message, extra);
    const answer = (refusal: Any) => void send(refusal, { relatedRequestId: refusal.id }).catch(() => {});
    return sifted(message, calls, answer)
      .then((allowed) => (allowed === undefined ? undefined : deliver(allowed, extra)))
      .catch((err) => one.onerror?.(err));
  };
  Object.defineProperty(transport, "send", { value: outgoing, configurable: true, writable: true });
  Object.defineProperty(transport, "onmessage", {
    configurable: true,
    enumerable: true,
    get: () => incoming,
    set: (given: AnyTransport["onmessage"]) => {
      if (given === incoming) return;
      previous = listener;
      listener = given;
    },
  });
  return transport;
}

function parts(message: Any): Any[] {
  return Array.isArray(message) ? message : [message];
}

/** What of a message, or of a batch of them, may go on; undefined when nothing is left. */
async function sifted(message: Any, calls: Calls, answer: (refusal: Any) => void): Promise<Any> {
  const allowed: Any[] = [];
  for (const part of parts(message)) {
    const refusal = await calls.refusal(part);
    if (refusal === undefined) allowed.push(part);
    else if (refusal !== "gone") answer(refusal);
  }
  if (!Array.isArray(message)) return allowed[0];
  return allowed.length > 0 ? allowed : undefined;
}

/** A client whose calls are judged before they leave, on the transport that it is connected to and on every later one. */
export function guardClient<T extends object>(kaizen: Kaizen, client: T, options: Omit<GuardOptions, "tool"> = {}): T {
  return guardEnd(kaizen, client, "client", options);
}

/** A server (also an `McpServer`) that judges the calls it gets, on the transport that it is connected to and on every later one. */
export function guardServer<T extends object>(kaizen: Kaizen, server: T, options: Omit<GuardOptions, "tool"> = {}): T {
  return guardEnd(kaizen, server, "server", options);
}

function guardEnd<T extends object>(kaizen: Kaizen, end: T, side: Side, options: Omit<GuardOptions, "tool">): T {
  const one = end as unknown as Connecting;
  const connect = one.connect.bind(end);
  if (one.transport !== undefined) guardTransport(kaizen, one.transport, side, options);
  if (typeof one.server?.connect === "function") guardEnd(kaizen, one.server, side, options);
  Object.defineProperty(end, "connect", {
    configurable: true,
    writable: true,
    value: (transport: object, how?: Any) => connect(guardTransport(kaizen, transport, side, options), how),
  });
  return end;
}
