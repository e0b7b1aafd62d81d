// The agent's state file: what the switch should have, what became of it, and what was refused. Whoever waits for a port
// reads it; the agent itself reads it when it starts, to know what a place said that it cannot read now.

import { readFileSync, renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { z } from "zod";
import type { DesiredPort, Refused } from "./desired.js";

/**
 * failed: the switch cannot have it, `reason` says why. unknown: the switch does not answer. waiting: no front-end yet.
 * connected: a front-end, whose guest does not use its rings yet. wired: the guest has driven its rings. down:
 * administratively; its guest may be attached.
 */
export type PortState = "unknown" | "failed" | "waiting" | "connected" | "wired" | "down";

export interface ReportedPort extends DesiredPort {
  state: PortState;
  /** When it came to this state, ISO 8601. */
  since: string;
  /** Why it failed, or the last thing that went wrong on it. */
  reason?: string;
}

export interface AgentState {
  version: 1;
  owner: string;
  source: { text: string; fault: string | null };
  switch: { control: string; reachable: boolean; pid: number | null; reason: string | null };
  /** True when all that is wanted is there: nothing refused, failed or unknown. */
  converged: boolean;
  ports: ReportedPort[];
  refused: Refused[];
}

const StateSchema = z.looseObject({
  version: z.literal(1),
  ports: z.array(
    z.looseObject({
      ...{ name: z.string(), from: z.string(), id: z.string(), mac: z.string(), network: z.string().nullable() },
      port: z.looseObject({}),
      carried: z.looseObject({}).optional(),
      notEnforced: z.array(z.string()),
    }),
  ),
});

export class StateFile {
  private written = "";
  private last: Promise<void> = Promise.resolve();

  constructor(readonly path: string) {}

  /** What the switch should have had; none when there is no file. Throws an Error with a sentence when it is another's. */
  read(): DesiredPort[] {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new Error(`the state file ${this.path} cannot be read: ${(error as Error).message}`);
    }
    const parsed = StateSchema.safeParse(jsonOf(text));
    if (!parsed.success) {
      throw new Error(`${this.path} is no state file of an agent: give another with --state, or remove it`);
    }
    return parsed.data.ports.map(
      ({ name, from, id, mac, network, port, carried, notEnforced }) =>
        ({ name, from, id, mac, network, port, ...(carried && { carried }), notEnforced }) as DesiredPort,
    );
  }

  /** Replaces the file when anything is different: whoever reads it has the old or the new one, whole. */
  write(state: AgentState): Promise<void> {
    const text = `${JSON.stringify(state, null, 2)}\n`;
    this.last = this.last.catch(() => {}).then(() => this.replace(text));
    return this.last;
  }

  private async replace(text: string): Promise<void> {
    if (text === this.written) return;
    const temporary = `${this.path}.${process.pid}.tmp`;
    try {
      const file = await open(temporary, "w", 0o644);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      renameSync(temporary, this.path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw new Error(`the state file ${this.path} cannot be written: ${(error as Error).message}`);
    }
    this.written = text;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
