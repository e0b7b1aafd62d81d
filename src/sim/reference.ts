// The keys of a scenario's file as tables for the guide, made of the schema itself.

import type { z } from "zod";
import { type KeyNote, NOTES } from "./keys.js";
import { METRICS } from "./metric-names.js";
import * as schema from "./schema.js";

const SECTIONS: [title: string, schema: z.ZodObject, text: string][] = [
  ["The file", schema.ScenarioSchema, ""],
  ["`switch`", schema.SwitchSchema, "Settings of every switch."],
  ["`links`", schema.LinkSchema, "A map from names to cables between two switches."],
  ["`guests`", schema.GuestSchema, "A map from names to guests, or groups of guests."],
  ["`traffic`", schema.TrafficSchema, "A map from names to what is sent. `[least, most]` has the seed choose."],
  ["`faults`", schema.FaultSchema, "A list."],
  ["`draw`", schema.DrawSchema, "Faults that the seed chooses."],
  [
    "`expect`",
    schema.ExpectSchema,
    "A list. Each item is a value, what it is taken of (a flow, a guest, a link, or nothing: the whole network), and bounds.",
  ],
  [
    "`times`",
    schema.SubjectSchema,
    "Another value that the bounds are multiples of; what is not said is as in the expectation: `at-least: 2` with `times: { variant: small }` is twice what it is there.",
  ],
];

/** Markdown: a table of keys for each part of the file, and the values that can be expected. */
export function schemaReference(): string {
  const parts = SECTIONS.map(([title, object, text]) => {
    const rows = Object.entries(object.shape).map(([name, type]) => {
      const { what, fallback } = NOTES.get(type) as KeyNote;
      return `| \`${name}\` | ${what} | ${fallback} |`;
    });
    return [`### ${title}`, ...(text ? [text] : []), ["| key | what | default |", "|---|---|---|", ...rows].join("\n")];
  });
  const values = METRICS.map(({ name, of, what }) => `| \`${name}\` | ${of.join(", ")} | ${what} |`);
  const table = ["| value | of | what |", "|---|---|---|", ...values].join("\n");
  return [...parts.flat(), "### Values", table].join("\n\n");
}
