// The command line of `ringbridge agent`: its options.

import { type Command, InvalidArgumentError } from "commander";
import type { AgentFlags } from "./agent.js";
import { collect } from "./option-values.js";
import type { ProgramParts } from "./program-parts.js";

export function addAgentCommand(program: Command, { io, perform, control }: ProgramParts): void {
  program
    .command("agent")
    .description(
      "keep the ports of a running switch equal to a source of OpenStack ports, and report what becomes of each",
    )
    .option(
      "--folder <dir>",
      "a folder with a JSON file for each port, what vif plug takes; replace files, do not overwrite them",
    )
    .option("--list <file>", "one JSON or YAML file with a list of ports")
    .option("--snabb <dir>", "six tables of Neutron's database as mysqldump -T writes them (Snabb NFV)")
    .option("--host <name>", "with --snabb: the host's name in Neutron (default: this machine's)")
    .option(
      "--state <file>",
      "write there, as JSON, what the switch should have and the state of each port; replaced whole",
    )
    .option(
      "--owner <name>",
      "a name of its own for each agent of a switch: it leaves the ports of others alone",
      "agent",
    )
    .option("--interval <s>", "seconds between two looks when nothing tells of a change (default: 1)", seconds)
    .option("--socket-mode <octal>", "permissions of sockets that the switch makes: 0660")
    .option("--socket-group <group>", "their group, such as libvirt-qemu or kvm")
    .option("--socket-folder <dir>", "refuse sockets that lie elsewhere; may be given again", collect)
    .option("--once", "look once and end: exit code 1 when not all ports are there")
    .addHelpText(
      "after",
      `
Each change is a line of JSON on standard output: source, switch, refused, accepted, added, changed, removed, state, converged.
States of a port: unknown (the switch does not answer), failed, waiting (for QEMU), connected, wired (the guest has driven its
rings: tell Neutron that the port is ACTIVE), down (administratively). SIGHUP looks at once. When the agent ends its ports stay;
agent, switch and guests may end and start again in any order. What is refused is refused alone: what that place said before
goes on, also when the agent was started anew with the same --state.`,
    )
    .action((options: Omit<AgentFlags, "control">) =>
      perform(async () => {
        const { agentCommand } = await import("./agent.js");
        return agentCommand({ ...options, control: control() }, io);
      }),
    );
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.05 && value <= 3600)) throw new InvalidArgumentError("It must be a number from 0.05 to 3600.");
  return value;
}
