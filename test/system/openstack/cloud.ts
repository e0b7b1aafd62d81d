// A cloud of one host, without any service of OpenStack: ports as Neutron's API shows them (network.json) → their
// binding → Nova's interface XML → domains of a private libvirt → guests. What the services would do is done by `ringbridge vif`.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AgentState, PortState } from "../../../src/agent/state-file.js";
import { ControlClient } from "../../../src/api/control-client.js";
import type { Binding, NoBinding } from "../../../src/vif/neutron.js";
import type { NovaStages } from "../../../src/vif/nova.js";
import { Channel } from "../lib/channel.js";
import { initramfs } from "../lib/initramfs.js";
import { domainXml, type Libvirt, startLibvirt } from "../lib/libvirt.js";
import { busyboxFile, cliFile, kernel, qemuFiles } from "../lib/needs.js";
import { type Child, scratch, start, waitFor } from "../lib/process.js";
import { type RunningSwitch, startSwitch } from "../lib/switch.js";
import type { Guest } from "../lib/traffic.js";

// libvirt goes with the QEMU of its release: an older libvirt cannot drive a newer QEMU.
const emulator = qemuFiles["7.2"] ?? qemuFiles["10"];
// QEMU 7.2 crashes under TCG when the guest uses MSI-X on a vhost-user NIC, also on one that is attached later.
const interrupts = qemuFiles["7.2"] === undefined ? "" : "pci=nomsi ";
const kernelWords = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off random.trust_cpu=on ipv6.disable=1";

const cloudFile = JSON.parse(readFileSync(new URL("network.json", import.meta.url), "utf8"));

/** QEMU's role at the socket, as `vhostuser_mode` has it. */
export type Mode = "server" | "client";

/** How the memory of a domain is backed. */
export const MEMORY = {
  /** As Nova writes it with [libvirt] file_backed_memory. */
  nova: `<memoryBacking><source type='file'/><access mode='shared'/><allocation mode='immediate'/><discard/></memoryBacking>`,
  /** What Nova has no option for, and a domain of one's own should have. */
  memfd: "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
} as const;

/** A Neutron port that is bound to this host, and what the chain made of it. */
export interface BoundPort {
  name: string;
  id: string;
  mac: string;
  /** The fixed IP. */
  ip: string;
  mode: Mode;
  /** vhostuser_socket. */
  path: string;
  /** Of the host's interface, and so of the switch's port. */
  vifName: string;
  /** Nova's interface element. */
  xml: string;
  /** What `ringbridge vif xml` and `plug` take, and a port's file of `ringbridge agent`. */
  input: { port: Record<string, unknown> };
}

/** What Nova knows besides the port. */
export interface NovaWords {
  flavor?: unknown;
  conf?: Record<string, unknown>;
  image_properties?: Record<string, unknown>;
}

export interface Instance extends Guest {
  readonly name: string;
  /** `virsh start`, as after `openstack server stop`. */
  start(): Promise<void>;
  /** `virsh destroy`. */
  destroy(): Promise<void>;
  booted(limitMs?: number): Promise<void>;
  /** The guest reboots, its QEMU goes on. */
  reboot(): Promise<void>;
}

export interface InstanceOptions {
  memory?: keyof typeof MEMORY;
  vcpus?: number;
  /** Elements of libvirt's namespace for QEMU. */
  qemu?: string;
  /** False: `virsh start` is left to the test. */
  start?: boolean;
  /** Changes the interface XML of the ports. */
  edit?: (xml: string) => string;
}

/** One step of the chain, as an operator has it: `ringbridge vif …` with JSON on its standard input. */
export function vif<T>(words: readonly string[], input: unknown): T {
  const answer = execFileSync(process.execPath, [cliFile, "vif", ...words, "-"], { input: JSON.stringify(input) });
  return JSON.parse(answer.toString()) as T;
}

/** Runs Neutron's and Nova's part for the port of this name in network.json. */
export function bind(name: string, mode: Mode, words: NovaWords = {}): BoundPort {
  const { agents, segment, network, ports } = structuredClone(cloudFile);
  const [agent, port] = [agents[mode], ports[name]];
  agent.configurations.vhostuser_socket_dir = scratch;
  const binding = vif<Binding | NoBinding>(["bind"], { agent, port, segment });
  if (!binding.bound) throw new Error(`port ${name} is not bound`);
  Object.assign(port, { "binding:vif_type": binding.vif_type, "binding:vif_details": binding.vif_details });
  // The guests here have no KVM.
  const conf = { "libvirt.virt_type": "qemu", ...words.conf };
  const input = { port, network, ...words, conf };
  const { osvif, xml } = vif<NovaStages>(["xml", "--json"], input);
  return {
    ...{ name, id: port.id, mac: port.mac_address, ip: port.fixed_ips[0].ip_address },
    ...{ mode: osvif.mode!, path: osvif.path!, vifName: osvif.vif_name, xml, input },
  };
}

/** One host of the cloud: its switch and its libvirt. */
export class Host {
  private readonly ports = new Map<string, Record<string, unknown>>();
  private readonly config: string;

  /** `ringbridge agent`, if one keeps the switch's ports. */
  private agent: Child | undefined;
  /** Where it looks for ports, and what it says of them. */
  private readonly folder = join(scratch, "ports");
  private readonly stateFile = join(scratch, "agent-state.json");

  private constructor(
    public bridge: RunningSwitch,
    readonly libvirt: Libvirt,
    config: string,
  ) {
    this.config = config;
  }

  static async start(words: readonly string[] = []): Promise<Host> {
    const config = join(scratch, "switch.json");
    writeFileSync(config, "{}");
    const bridge = await startSwitch([], [config, ...words]);
    // As the README says: a folder with our program under the name ovs-vsctl, first in the daemon's PATH.
    const programs = join(scratch, "programs");
    mkdirSync(programs);
    const program = fileURLToPath(new URL("../../../dist/src/ovs-vsctl/main.js", import.meta.url));
    symlinkSync(program, join(programs, "ovs-vsctl"));
    const libvirt = await startLibvirt({
      PATH: [programs, dirname(process.execPath), process.env.PATH].join(":"),
      RINGBRIDGE_CONTROL: bridge.control,
    });
    return new Host(bridge, libvirt, config);
  }

  /** Gives the switch a port for a bound one; `more` is further configuration of it. */
  async plug(port: BoundPort, more: Record<string, unknown> = {}): Promise<void> {
    const role = port.mode === "server" ? "connect" : "listen";
    this.ports.set(port.vifName, { [role]: port.path, ...more });
    await this.reload();
  }

  async unplug(port: BoundPort): Promise<void> {
    this.ports.delete(port.vifName);
    await this.reload();
  }

  private async reload(): Promise<void> {
    // JSON is YAML.
    writeFileSync(this.config, JSON.stringify({ ports: Object.fromEntries(this.ports) }));
    await new ControlClient(this.bridge.control, 20_000).reload();
  }

  /** Starts an agent, which gives the switch what the folder has. The switch must have no ports of its own. */
  startAgent(): void {
    mkdirSync(this.folder, { recursive: true });
    const words = ["agent", "--folder", this.folder, "--state", this.stateFile, "--control", this.bridge.control];
    this.agent = start("agent", process.execPath, [cliFile, ...words]);
  }

  /** Ends the agent as a crash would. */
  async killAgent(): Promise<void> {
    await this.agent?.end("SIGKILL");
  }

  /** Puts a port's file into the agent's folder, in one piece; `changes` are those of Neutron's port. */
  tellAgent(port: BoundPort, changes: Record<string, unknown> = {}): void {
    const part = join(this.folder, `.${port.name}`);
    writeFileSync(part, JSON.stringify({ ...port.input, port: { ...port.input.port, ...changes } }));
    renameSync(part, join(this.folder, `${port.name}.json`));
  }

  /** Waits until the agent's state file says this of each port. */
  async waitForAgent(state: PortState, ports: readonly BoundPort[]): Promise<void> {
    const said = () => {
      if (!existsSync(this.stateFile)) return false;
      const { ports: found } = JSON.parse(readFileSync(this.stateFile, "utf8")) as AgentState;
      return ports.every(({ vifName }) => found.some((port) => port.name === vifName && port.state === state));
    };
    await waitFor(`the agent to say ${state} of ${ports.map(({ name }) => name).join(", ")}`, 60_000, said, [
      this.agent!,
    ]);
  }

  /** Ends the switch as a crash would. */
  async killSwitch(): Promise<void> {
    await this.bridge.kill();
  }

  /** Starts its successor, with the same ports at the same control socket. */
  async startSwitch(): Promise<void> {
    this.bridge = await startSwitch([], [this.config], { control: this.bridge.control });
  }

  /** Defines a domain of these ports, and starts it. The first port's address is that of eth0. */
  async instance(name: string, ports: readonly BoundPort[], options: InstanceOptions = {}): Promise<Instance> {
    const edit = options.edit ?? ((xml) => xml);
    const ip = ports[0]?.ip ?? "";
    const instance = new DomainInstance(name, ip, join(scratch, `${name}-channel.sock`), this.libvirt);
    const xml = domainXml({
      name,
      emulator: emulator!,
      memoryMb: 160,
      kernel: kernel!.image,
      initrd: initramfs(kernel!, busyboxFile!),
      append: `${kernelWords} ${interrupts}${ip && `rb.address=${ip}/24`}`,
      channel: instance.channelPath,
      console: join(scratch, `${name}-console.log`),
      memory: MEMORY[options.memory ?? "nova"],
      nic: ports.map((port) => edit(port.xml)).join(""),
      vcpus: options.vcpus,
      qemu: options.qemu,
    });
    await this.libvirt.virsh("define", "--validate", this.libvirt.xmlFile(name, xml));
    if (options.start !== false) await instance.start();
    return instance;
  }

  async stop(): Promise<void> {
    await this.libvirt.daemon.end("SIGKILL");
    await this.bridge.kill();
  }
}

class DomainInstance implements Instance {
  private channel: Channel | undefined;

  constructor(
    readonly name: string,
    readonly ip: string,
    readonly channelPath: string,
    private readonly libvirt: Libvirt,
  ) {}

  async start(): Promise<void> {
    const channel = await Channel.open(this.name, this.channelPath);
    channel.needed = [this.libvirt.daemon];
    this.channel = channel;
    await this.libvirt.virsh("start", this.name).catch(async (error: Error) => {
      await channel.close();
      throw error;
    });
  }

  async destroy(): Promise<void> {
    await this.libvirt.virsh("destroy", this.name);
  }

  booted(limitMs?: number, boot?: number): Promise<void> {
    return this.open().booted(limitMs, boot);
  }

  async reboot(): Promise<void> {
    const boots = this.open().bootCount;
    // Not `reboot -f`: see Guest.reboot.
    this.open().send("reboot 10 echo b >/proc/sysrq-trigger");
    await this.open().booted(undefined, boots + 1);
  }

  run(command: string, limitMs?: number) {
    return this.open().run(command, limitMs);
  }

  must(command: string, limitMs?: number) {
    return this.open().must(command, limitMs);
  }

  job(command: string) {
    return this.open().job(command);
  }

  private open(): Channel {
    if (this.channel === undefined) throw new Error(`instance ${this.name} was not started`);
    return this.channel;
  }
}
