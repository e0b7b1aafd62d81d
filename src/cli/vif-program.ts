// The command line of `ringbridge vif`: its commands and their options.

import type { Command } from "commander";
import type { Io } from "./io.js";

/** What the groups of commands need of the program around them. */
export interface ProgramParts {
  io: Io;
  /** Runs a command and keeps its exit code. */
  perform(command: () => Promise<number>): Promise<void>;
  /** Path of the control socket. */
  control(): string;
}

const INPUT = 'JSON, or a JSON list for a list of answers; "-" is standard input';

export function addVifCommands(program: Command, { io, perform }: ProgramParts): void {
  const vif = program
    .command("vif")
    .description("from an OpenStack port to a guest's traffic: what each program makes of it, and the switch's ports")
    .addHelpText(
      "after",
      `
bind, xml and qemu compute what Neutron, Nova and libvirt do, and ask no switch. What one of them would refuse is said on
standard error, exit code 2; of a list it is {"error": reason} in the answer.`,
    );
  vif
    .command("bind")
    .description(
      "what Neutron's ML2 driver openvswitch makes of a port: {agent, port, segment} to {bound, vif_type, vif_details}",
    )
    .argument("[file]", INPUT, "-")
    .action((file: string) =>
      perform(async () => {
        const { vifBindCommand } = await import("./vif.js");
        return vifBindCommand(file, io);
      }),
    );
  vif
    .command("xml")
    .description(
      "what Nova makes of a bound port: {port, network, flavor, image_properties, conf} to the <interface> of libvirt's domain",
    )
    .argument("[file]", INPUT, "-")
    .option("--json", "print all stages: {vif, osvif, xml}")
    .action((file: string, options: { json?: boolean }) =>
      perform(async () => {
        const { vifXmlCommand } = await import("./vif.js");
        return vifXmlCommand(file, options, io);
      }),
    );
  vif
    .command("qemu")
    .description(
      "what libvirt makes of interfaces: {interfaces: [XML], backing, machine, vcpus, memory_mb} to QEMU's arguments {net, memory}",
    )
    .argument("[file]", INPUT, "-")
    .option("--args", "print whole arguments with their options, one a line, in the order of QEMU's command line")
    .action((file: string, options: { args?: boolean }) =>
      perform(async () => {
        const { vifQemuCommand } = await import("./vif.js");
        return vifQemuCommand(file, options, io);
      }),
    );
}
