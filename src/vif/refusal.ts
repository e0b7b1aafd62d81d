// How src/vif says no: one sentence that names what was wrong, where, and what to do.

import type { z } from "zod";

/** The input is one that Neutron, Nova, libvirt or the switch refuses. The message is for the operator. */
export class VifRefusal extends Error {
  override readonly name = "VifRefusal";
}

/**
 * Checks a value against a schema and gives it back typed.
 * @param what what the value is, the beginning of every message: "the port"
 * @throws VifRefusal that names each wrong key by its path
 */
export function parseInput<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map(({ path, message }) => [what, path.join("."), message].filter(Boolean));
  throw new VifRefusal([...new Set(lines.map(([head, ...rest]) => `${head}: ${rest.join(" ")}`))].join("; "));
}
