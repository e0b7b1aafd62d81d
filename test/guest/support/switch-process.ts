// A real switch in a process of its own, in a folder that goes with it.

import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlClient } from "../../../src/api/control-client.js";
import { builtFile } from "../../../src/guest/children.js";

export class SwitchFolder {
  readonly path = mkdtempSync(join(tmpdir(), "ringbridge-guest-"));
  readonly control = new ControlClient(this.file("control"));
  private readonly ends: (() => Promise<void>)[] = [];

  file(name: string): string {
    return join(this.path, name);
  }

  /**
   * Starts a switch with ports written as "vm1=listen" or "vm1=connect"; their sockets are files of those names. An option
   * of all ports is `options`: "offloads=false".
   */
  async start(ports: string[], options?: string): Promise<{ end(signal?: NodeJS.Signals): Promise<void> }> {
    const words = ["--control", this.control.path, "run", "--log-level", "error"];
    const more = options === undefined ? "" : `,${options}`;
    for (const port of ports) words.push("--port", `${port}:${this.file(port.split("=")[0]!)}${more}`);
    const child = fork(builtFile("src/cli/demo-switch.js"), words, { stdio: ["ignore", "pipe", "inherit", "ipc"] });
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const end = async (signal: NodeJS.Signals = "SIGTERM") => {
      child.kill(signal);
      await exited;
    };
    this.ends.push(end);
    let output = "";
    await new Promise<void>((resolve, reject) => {
      child.stdout!.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.includes(" is ready")) resolve();
      });
      void exited.then(() => reject(new Error(`the switch did not start: ${output}`)));
    });
    return { end };
  }

  /** Ends what still runs and removes the folder. */
  async close(): Promise<void> {
    await Promise.all(this.ends.map((end) => end()));
    rmSync(this.path, { recursive: true, force: true });
  }
}
