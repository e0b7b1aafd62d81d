// An asc transform: writes the layout of the shared structs (assembly/abi.ts) to src/core/layout.ts, so that the
// host and the core have one definition. `npm run check` fails when the checked-in file differs.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Transform } from "assemblyscript/transform";

const OUTPUT = new URL("../src/core/layout.ts", import.meta.url);

export default class LayoutTransform extends Transform {
  afterCompile() {
    const structs = [];
    const constants = [];
    const file = this.program.filesByName.get("assembly/abi");
    for (const [name, element] of file.exports) {
      const instance = this.program.instancesByName.get(`assembly/abi/${name}`);
      if (instance?.members && instance.nextMemoryOffset !== undefined) {
        structs.push([name, instance.nextMemoryOffset, fieldsOf(instance)]);
      } else {
        const text = element.declaration.initializer?.range.toString();
        if (/^\d+$/.test(text)) constants.push([name, Number(text)]);
      }
    }
    const text = render(structs, constants);
    if (!existsSync(OUTPUT) || readFileSync(OUTPUT, "utf8") !== text) writeFileSync(OUTPUT, text);
  }
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

function render(structs, constants) {
  const lines = ["// GENERATED from assembly/abi.ts by tools/layout-transform.mjs at every build. Do not edit.", ""];
  for (const [name, value] of constants.sort()) lines.push(`export const ${name} = ${value};`);
  for (const [name, size, fields] of structs.sort((a, b) => (a[0] < b[0] ? -1 : 1))) {
    lines.push("", `export const ${name} = {`, `  size: ${size},`, "  fields: {");
    for (const [field, offset, type] of fields) lines.push(`    ${field}: { offset: ${offset}, type: "${type}" },`);
    lines.push("  },", "} as const;");
  }
  return `${lines.join("\n")}\n`;
}
