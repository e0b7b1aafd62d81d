// The other end of the control socket: what `status`, `fdb` and other programs use to ask a running switch.

import { type IncomingMessage, request } from "node:http";
import type { FdbEntryStatus, ReloadResult, SwitchStatus, VersionStatus } from "./status.js";

/** Far beyond what any answer takes: a switch that needs longer hangs. Milliseconds. */
const TIMEOUT_MS = 10_000;

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

  async #ask<T>(method: string, path: string): Promise<T> {
    const { status, body } = await this.#send(method, path);
    let answer: unknown;
    try {
      answer = JSON.parse(body);
    } catch {
      throw new Error(`${this.path} does not answer as a ringbridge switch does: check the path of --control`);
    }
    if (status === 200) return answer as T;
    const text = (answer as { error?: unknown } | null)?.error;
    throw new Error(typeof text === "string" ? text : `the switch at ${this.path} answered with HTTP status ${status}`);
  }

  #send(method: string, path: string): Promise<{ status: number; body: string }> {
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
        (response: IncomingMessage) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", (error) => reject(new Error(this.#fault(error))));
          response.on("end", () => {
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
          });
        },
      );
      outgoing.on("timeout", () => outgoing.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })));
      outgoing.on("error", (error) => reject(new Error(this.#fault(error))));
      outgoing.end();
    });
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
