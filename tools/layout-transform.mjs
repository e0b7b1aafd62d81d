// An asc transform: writes the layout of the structs that a Wasm module shares with the host (its abi.ts) to a file of
// the host's, so that both have one definition. `npm run check` fails when a checked-in file differs.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Transform } from "assemblyscript/transform";

/**
 * The transform for one pair of files, both as paths in the repository: `source` such as "assembly/abi.ts", whose
 * exported structs and decimal constants are written to `output`.
 */
export default function layoutTransform(source, output) {
  const target = new URL(`../${output}`, import.meta.url);
  const module = source.replace(/\.ts$/, "");
  return class LayoutTransform extends Transform {
    afterCompile() {
      const structs = [];
      const constants = [];
      for (const [name, element] of this.program.filesByName.get(module).exports) {
        const instance = this.program.instancesByName.get(`${module}/${name}`);
        if (instance?.members && instance.nextMemoryOffset !== undefined) {
          structs.push([name, instance.nextMemoryOffset, fieldsOf(instance)]);
        } else {
          const text = element.declaration.initializer?.range.toString();
          if (/^\d+$/.test(text)) constants.push([name, Number(text)]);
        }
      }
      const text = render(source, structs, constants);
      if (!existsSync(target) || readFileSync(target, "utf8") !== text) writeFileSync(target, text);
    }
  };
}

/** [name, offset, type] of each field that is not padding. */
function fieldsOf(instance) {
  const fields = [];
  for (const [name, prototype] of instance.members) {
    const field = prototype.instance;
    if (!field || field.memoryOffset === undefined || /^(pad|reserved)\d*$/.test(name)) continue;
    fields.push([name, field.memoryOffset, field.type.toString()]);
  }
  return fields;
}

function render(source, structs, constants) {
  const lines = [`// GENERATED from ${source} by tools/layout-transform.mjs at every build. Do not edit.`, ""];
  for (const [name, value] of constants.sort()) lines.push(`export const ${name} = ${value};`);
  for (const [name, size, fields] of structs.sort((a, b) => (a[0] < b[0] ? -1 : 1))) {
    lines.push("", `export const ${name} = {`, `  size: ${size},`, "  fields: {");
    for (const [field, offset, type] of fields) lines.push(`    ${field}: { offset: ${offset}, type: "${type}" },`);
    lines.push("  },", "} as const;");
  }
  return `${lines.join("\n")}\n`;
}
