// The other end of the control socket: what `status`, `fdb` and other programs use to ask a running switch.

import { type IncomingMessage, request } from "node:http";
import {
  CAPTURE_HEADER,
  type CaptureOptions,
  type FdbEntryStatus,
  type PlugResult,
  type ReloadResult,
  type SwitchStatus,
  type VersionStatus,
} from "./status.js";

/** Far beyond what any answer takes: a switch that needs longer hangs. Milliseconds. */
const TIMEOUT_MS = 10_000;

/** The switch has answered, and not done what it was asked: the HTTP status says why (control-server.ts). */
export class RefusedError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** A capture that runs in a switch. */
export interface RunningCapture {
  /** The pcapng file as it is written. Rejects with a sentence when the switch goes away; ending the loop ends the capture. */
  pieces: AsyncIterable<Uint8Array>;
  /** Has the file come to its end. */
  stop(): Promise<void>;
  /** Reads no more: ends the capture at once. */
  abandon(): void;
}

function portPath(name: string, owner: string): string {
  return `/v1/ports/${encodeURIComponent(name)}?owner=${encodeURIComponent(owner)}`;
}

/** Asks one switch. Every method rejects with an Error whose message is a sentence for the operator. */
export class ControlClient {
  readonly path: string;
  readonly #timeoutMs: number;

  /** `path` is that of the control socket; `timeoutMs` is how long one answer may take. */
  constructor(path: string, timeoutMs = TIMEOUT_MS) {
    this.path = path;
    this.#timeoutMs = timeoutMs;
  }

  version(): Promise<VersionStatus> {
    return this.#ask("GET", "/v1/version");
  }

  status(): Promise<SwitchStatus> {
    return this.#ask("GET", "/v1/status");
  }

  fdb(): Promise<FdbEntryStatus[]> {
    return this.#ask("GET", "/v1/fdb");
  }

  /** Forgets the learned addresses of one port, or all of them; resolves to how many there were. */
  async flushFdb(port?: string): Promise<number> {
    const query = port === undefined ? "" : `?port=${encodeURIComponent(port)}`;
    return (await this.#ask<{ flushed: number }>("POST", `/v1/fdb/flush${query}`)).flushed;
  }

  /** Has the switch read its configuration file again. */
  reload(): Promise<ReloadResult> {
    return this.#ask("POST", "/v1/reload");
  }

  /** Makes a port be there, as a configuration file would say it. Again the same changes nothing. */
  plug(name: string, port: unknown, owner: string): Promise<PlugResult> {
    return this.#ask("PUT", portPath(name, owner), JSON.stringify(port));
  }

  /** Takes a plugged port away; resolves to false when there is none of that name. */
  async unplug(name: string, owner: string): Promise<boolean> {
    return (await this.#ask<{ removed: boolean }>("DELETE", portPath(name, owner))).removed;
  }

  /** Starts to capture the frames of ports. */
  async capture({ ports, snapLength, filter, count }: CaptureOptions): Promise<RunningCapture> {
    const query = new URLSearchParams(ports.map((port) => ["port", port]));
    if (snapLength !== undefined) query.set("snaplen", String(snapLength));
    if (filter !== undefined) query.set("filter", filter);
    if (count !== undefined) query.set("count", String(count));
    const path = `/v1/capture?${query}`;
    const response = await this.#request("GET", path);
    if (response.statusCode !== 200) throw this.#refusal(response.statusCode ?? 0, await this.#whole(response));
    // Frames may be long in coming.
    response.socket.setTimeout(0);
    const id = response.headers[CAPTURE_HEADER];
    return {
      pieces: this.#pieces(response),
      stop: () => this.#ask("DELETE", `/v1/capture/${id}`),
      abandon: () => response.destroy(),
    };
  }

  async *#pieces(response: IncomingMessage): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of response) yield piece as Buffer;
    } catch (error) {
      throw new Error(this.#fault(error as NodeJS.ErrnoException));
    }
  }

  async #ask<T>(method: string, path: string, body?: string): Promise<T> {
    const response = await this.#request(method, path, body);
    const answer = await this.#whole(response);
    if (response.statusCode !== 200) throw this.#refusal(response.statusCode ?? 0, answer);
    return this.#parsed(answer) as T;
  }

  #parsed(body: string): unknown {
    try {
      return JSON.parse(body);
    } catch {
      throw new Error(`${this.path} does not answer as a ringbridge switch does: check the path of --control`);
    }
  }

  #refusal(status: number, body: string): Error {
    const text = (this.#parsed(body) as { error?: unknown } | null)?.error;
    const sentence = typeof text === "string" ? text : `the switch at ${this.path} answered with HTTP status ${status}`;
    return new RefusedError(sentence, status);
  }

  /** The answer's head; its body is still to come. */
  #request(method: string, path: string, body?: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        // No agent: one connection for one question, so that nothing keeps the process alive afterwards.
        {
          socketPath: this.path,
          path,
          method,
          agent: false,
          timeout: this.#timeoutMs,
          headers: { host: "ringbridge" },
        },
        resolve,
      );
      outgoing.on("timeout", () => outgoing.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })));
      outgoing.on("error", (error) => reject(new Error(this.#fault(error))));
      outgoing.end(body);
    });
  }

  async #whole(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response) chunks.push(chunk as Buffer);
    } catch (error) {
      throw new Error(this.#fault(error as NodeJS.ErrnoException));
    }
    return Buffer.concat(chunks).toString("utf8");
  }

  #fault(error: NodeJS.ErrnoException): string {
    switch (error.code) {
      case "ENOENT":
      case "ENOTDIR":
        return (
          `no switch runs here (there is no ${this.path}): ` +
          'start one with "ringbridge run", or give its --control path'
        );
      case "ECONNREFUSED":
        return `no switch runs here (${this.path} is left over from one that ended): start one with "ringbridge run"`;
      case "EACCES":
      case "EPERM":
        return `may not open ${this.path}: be the user that runs the switch`;
      case "ETIMEDOUT":
        return (
          `the switch at ${this.path} has not answered for ${this.#timeoutMs / 1000} s: ` +
          "it hangs, or the machine is overloaded"
        );
      case "ECONNRESET":
      case "EPIPE":
        return `the switch at ${this.path} went away in the middle of the answer`;
      default:
        // What is no HTTP has a parser's code, HPE_….
        return error.code?.startsWith("HPE_")
          ? `${this.path} does not answer as a ringbridge switch does: check the path of --control`
          : `cannot ask the switch at ${this.path}: ${error.message}`;
    }
  }
}
