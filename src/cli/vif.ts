// `ringbridge vif bind | xml | qemu`: what Neutron, Nova and libvirt make of a port, computed from JSON. No switch is asked.

import { bindPort } from "../vif/neutron.js";
import { novaStages } from "../vif/nova.js";
import { casesView, qemuArguments } from "../vif/qemu.js";
import { VifRefusal } from "../vif/refusal.js";
import { type Io, UsageError } from "./io.js";
import { readJson } from "./vif-input.js";

/** What a step makes of one input: the answer, and what the operator should know besides. */
interface Answer {
  /** A text is written as it is, all else as JSON. */
  value: unknown;
  notes?: readonly string[];
}

/** `vif bind`: the binding that Neutron's ML2 driver makes. Why a port is not bound goes to standard error. */
export function vifBindCommand(file: string, io: Io): Promise<number> {
  return forEach(file, io, (input) => {
    const binding = bindPort(input);
    return binding.bound ? { value: binding } : { value: { bound: false }, notes: [`not bound: ${binding.reason}`] };
  });
}

/** `vif xml`: the interface of the libvirt domain that Nova writes; with `json` all stages on the way to it. */
export function vifXmlCommand(file: string, options: { json?: boolean }, io: Io): Promise<number> {
  return forEach(file, io, (input) => {
    const stages = novaStages(input);
    return { value: options.json ? stages : stages.xml };
  });
}

/**
 * `vif qemu`: the arguments that libvirt starts QEMU with. With `args` the whole command line's part, an argument a line,
 * else net and memory as JSON, values alone.
 */
export function vifQemuCommand(file: string, options: { args?: boolean }, io: Io): Promise<number> {
  return forEach(file, io, (input) => {
    const all = qemuArguments(input);
    const words = [...all.memory, ...all.net].flat();
    return { value: options.args ? `${words.join("\n")}\n` : casesView(all), notes: all.warnings };
  });
}

/** Answers one input, or a list with a list in which a refusal is `{"error": reason}`. */
async function forEach(file: string, io: Io, answer: (input: unknown) => Answer): Promise<number> {
  const input = await readJson(file, io);
  const note = (notes: readonly string[] = [], where = "") => {
    for (const text of notes) io.stderr.write(`ringbridge: ${where}${text}\n`);
  };
  if (Array.isArray(input)) {
    const values = input.map((item: unknown, i) => {
      try {
        const { value, notes } = answer(item);
        note(notes, `${i}: `);
        return value;
      } catch (error) {
        if (!(error instanceof VifRefusal)) throw error;
        return { error: error.message };
      }
    });
    io.stdout.write(`${JSON.stringify(values, null, 2)}\n`);
    return 0;
  }
  try {
    const { value, notes } = answer(input);
    note(notes);
    io.stdout.write(typeof value === "string" ? value : `${JSON.stringify(value, null, 2)}\n`);
    return 0;
  } catch (error) {
    throw error instanceof VifRefusal ? new UsageError(error.message) : error;
  }
}
