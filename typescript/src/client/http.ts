/**
 * HTTP/1.1 to the sidecar and the control plane, over TCP, TLS or a Unix socket. Proxies of the environment are ignored (`HTTPS_PROXY`
 * points at our own egress proxy), redirects are not followed (a redirected report would become a GET), the deadline holds for the
 * whole exchange, and what arrives is bounded.
 */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import type { Json } from "../contract/action.js";
import { InvalidInput, Refused, Unreachable } from "../contract/errors.js";
import { parse } from "../contract/fields.js";
import { type Place, placeOf } from "./place.js";

const MAX_REPLY = 8 << 20;

/**
 * `within`: seconds for everything. `inBackground`: it does not keep the process alive. `again`: it may be sent twice. `signal`: its
 * connection is closed when that is aborted.
 */
export interface Wanted {
  readonly method: string;
  readonly path: string;
  readonly body?: string | Uint8Array | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly within: number;
  readonly inBackground?: boolean;
  readonly again?: boolean;
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What came back, whatever the status is. Names of headers are in lower case. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Kept connections to one address. */
export class Upstream {
  readonly place: Place;
  private agent: Agent | undefined;

  constructor(url: string) {
    this.place = placeOf(url);
  }

  /** One exchange. Throws Unreachable (nobody there, too slow, no proper reply). */
  async exchange(wanted: Wanted): Promise<Reply> {
    const until = performance.now() + wanted.within * 1000;
    try {
      return await this.once(wanted, until);
    } catch (err) {
      // A kept connection that turns out to be closed is opened again, once, when that can do no harm.
      if (!(err instanceof Closed) || !(wanted.again ?? wanted.method === "GET") || wanted.signal?.aborted)
        throw this.unreachable(err, wanted);
    }
    try {
      return await this.once(wanted, until);
    } catch (err) {
      throw this.unreachable(err, wanted);
    }
  }

  /** The same with JSON both ways. Throws Refused for every status but 2xx. */
  async json(wanted: Omit<Wanted, "body"> & { readonly document?: Json }): Promise<Json> {
    const { document, ...rest } = wanted;
    const headers: Record<string, string> = { Accept: "application/json", ...wanted.headers };
    const body = document === undefined ? undefined : JSON.stringify(document);
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const reply = await this.exchange({ ...rest, headers, body });
    return understood(reply, wanted.maxBytes);
  }

  /** Close what is idle. */
  close(): void {
    this.agent?.destroy();
    this.agent = undefined;
  }

  private async once(wanted: Wanted, until: number): Promise<Reply> {
    let request: ClientRequest | undefined;
    let isLate = false;
    // From the beginning: while it runs, the process does not end for want of anything else to do.
    const timer = setTimeout(
      () => {
        isLate = true;
        request?.destroy(new Late());
      },
      Math.max(until - performance.now(), 0),
    );
    if (wanted.inBackground) timer.unref();
    try {
      // TLS is loaded only by those who need it.
      const http = this.place.scheme === "https" ? await import("node:https") : await import("node:http");
      this.agent ??= new http.Agent({ keepAlive: true, maxSockets: 64 });
      if (isLate) throw new Late();
      const body = wanted.body === undefined ? undefined : Buffer.from(wanted.body);
      request = http.request(this.options(wanted, body));
      if (wanted.inBackground) request.on("socket", (socket) => socket.unref());
      return await read(request, body, wanted.maxBytes ?? MAX_REPLY);
    } catch (err) {
      request?.destroy();
      throw isLate ? new Late() : err;
    } finally {
      clearTimeout(timer);
    }
  }

  private options(wanted: Wanted, body: Uint8Array | undefined): RequestOptions {
    const { scheme, host, port, path } = this.place;
    const headers: Record<string, string | number> = { ...wanted.headers };
    if (body !== undefined || wanted.method === "POST") headers["Content-Length"] = body?.length ?? 0;
    return {
      ...(this.agent && { agent: this.agent }),
      ...(wanted.signal && { signal: wanted.signal }),
      method: wanted.method,
      path: (scheme === "unix" ? "" : path) + wanted.path,
      headers,
      ...(scheme === "unix" ? { socketPath: path } : { host, port }),
    };
  }

  private unreachable(err: unknown, wanted: Wanted): Unreachable {
    if (err instanceof Unreachable) return err;
    if (err instanceof Late) return new Unreachable(`no answer from ${this.place.shown} within ${wanted.within} s`, true);
    const why = (err as NodeJS.ErrnoException).code ?? (err as Error).message;
    return new Unreachable(`cannot reach ${this.place.shown}: ${why}`);
  }
}

/** The other side closed before its answer. */
class Closed extends Error {}

/** The time is over. */
class Late extends Error {}

/** Send `body`, and read the answer. Throws Closed when a kept connection was gone before a byte of it. */
async function read(request: ClientRequest, body: Uint8Array | undefined, limit: number): Promise<Reply> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on("response", resolve);
    request.on("error", (err: NodeJS.ErrnoException) => {
      const isGone = request.reusedSocket && (err.code === "ECONNRESET" || err.code === "EPIPE");
      reject(isGone ? new Closed(err.message) : err);
    });
    request.end(body);
  });
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > limit) throw new Unreachable(`the answer has more than ${limit} bytes`);
    parts.push(part);
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) };
}

/** The document of a 2xx answer, null when it is empty. Throws Refused with the error document's message and field. */
export function understood({ status, body }: Reply, limit = MAX_REPLY): Json {
  if (status >= 200 && status < 300) {
    if (body.length === 0) return null;
    try {
      return parse(body, limit);
    } catch {
      throw new Unreachable(`the answer (status ${status}) is not JSON`);
    }
  }
  let [message, field] = [`refused with status ${status}`, ""];
  try {
    const document = parse(body, limit) as { error?: { message?: unknown; field?: unknown } } | null;
    const said = document?.error;
    if (typeof said?.message === "string" && said.message !== "") message = said.message.slice(0, 500);
    if (typeof said?.field === "string") field = said.field.slice(0, 200);
  } catch (err) {
    if (!(err instanceof InvalidInput)) throw err;
  }
  throw new Refused(message, status, field);
}
