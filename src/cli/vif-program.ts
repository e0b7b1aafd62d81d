// The command line of `ringbridge vif`: its commands and their options.

import type { Command } from "commander";
import type { ProgramParts } from "./program-parts.js";
import type { VifSwitchFlags } from "./vif-switch.js";

const INPUT = 'JSON, or a JSON list for a list of answers; "-" is standard input';

export function addVifCommands(program: Command, parts: ProgramParts): void {
  const { io, perform } = parts;
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
  addPortCommands(vif, parts);
}

const SOCKET_MODE: [string, string] = ["--socket-mode <octal>", "permissions of sockets that the switch makes: 0660"];
const SOCKET_GROUP: [string, string] = ["--socket-group <group>", "their group, such as libvirt-qemu or kvm"];
const OWNER: [string, string, string] = [
  "--owner <name>",
  "who plugs: only the same may change the port, and ringbridge agent leaves it alone",
  "vif",
];

type SwitchOptions = Omit<VifSwitchFlags, "control">;

/** Those that ask a running switch. */
function addPortCommands(vif: Command, { io, perform, control }: ProgramParts): void {
  const withControl = (options: SwitchOptions) => ({ ...options, control: control() });
  vif
    .command("plug")
    .description(
      "have a running switch serve the port; again the same changes nothing, an MTU or admin state is changed live",
    )
    .argument(
      "[file]",
      `what vif xml takes, or a port alone, or with {agent, segment} one not bound yet. ${INPUT}`,
      "-",
    )
    .option(...SOCKET_MODE)
    .option(...SOCKET_GROUP)
    .option(...OWNER)
    .action((file: string, options: SwitchOptions) =>
      perform(async () => {
        const { vifPlugCommand } = await import("./vif-switch.js");
        return vifPlugCommand(file, withControl(options), io);
      }),
    );
  vif
    .command("unplug")
    .description("take the port from a running switch; there being none is no mistake")
    .argument("[file]", `what vif plug takes, {"id": port's UUID} or {"name": port of the switch}. ${INPUT}`, "-")
    .option(...OWNER)
    .action((file: string, options: SwitchOptions) =>
      perform(async () => {
        const { vifUnplugCommand } = await import("./vif-switch.js");
        return vifUnplugCommand(file, withControl(options), io);
      }),
    );
  vif
    .command("list")
    .description(
      "the ports of a running switch: whose they are, admin state, whether the guest has driven its rings (wired)",
    )
    .option("--json", "print JSON")
    .action((options: { json?: boolean }) =>
      perform(async () => {
        const { vifListCommand } = await import("./vif-switch.js");
        return vifListCommand({ ...options, control: control() }, io);
      }),
    );
  vif
    .command("explain")
    .description(
      "walk the whole chain for one port and say which step made what, and why; and what a running switch says of it now",
    )
    .argument("[file]", 'what vif plug takes, with flavor, conf, backing as known; "-" is standard input', "-")
    .option(...SOCKET_MODE)
    .option(...SOCKET_GROUP)
    .option("--json", "print JSON: {steps: [{by, here, made, notes}], port, refusal, now}")
    .action((file: string, options: SwitchOptions) =>
      perform(async () => {
        const { vifExplainCommand } = await import("./vif-switch.js");
        return vifExplainCommand(file, withControl(options), io);
      }),
    );
}
