// Tables of Neutron's database as `mysqldump -T` writes them, and Snabb NFV expects them: TABLE.txt with a line for each row
// and a tab between columns, TABLE.sql with the columns' names.

import { readText, UnreadableFile } from "./read-text.js";

/** A row by its columns' names; null where the database has NULL. */
export type Row = Record<string, string | null>;

/** The tables, with their columns where there is no definition that can be read. */
const TABLES = {
  ml2_network_segments: "id network_id network_type physical_network segmentation_id",
  networks: "tenant_id id name status admin_state_up shared",
  ports: "tenant_id id name network_id mac_address admin_state_up status device_id device_owner",
  ml2_port_bindings: "port_id host vif_type vnic_type profile vif_details",
  securitygrouprules:
    "tenant_id id security_group_id remote_group_id direction ethertype protocol port_range_min port_range_max remote_ip_prefix",
  securitygroupportbindings: "port_id security_group_id",
};
export type TableName = keyof typeof TABLES;
export type Tables = Record<TableName, Row[]>;

/** Columns without which nothing can be made of a table. */
const NEEDED: Partial<Record<TableName, string>> = {
  ports: "id network_id mac_address admin_state_up",
  ml2_port_bindings: "port_id host vif_type vif_details",
  securitygrouprules: "security_group_id direction ethertype",
  securitygroupportbindings: "port_id security_group_id",
};

const TABLE_MAX = 64 * 1024 * 1024;
const DEFINITION_MAX = 256 * 1024;

/**
 * Reads all tables of a folder.
 * @throws UnreadableFile that names the table, when one is missing, has not been written to its end, or makes no sense
 */
export async function readTables(folder: string): Promise<Tables> {
  const read = async (name: TableName) => {
    const columns = await columnsOf(folder, name);
    const missing = NEEDED[name]?.split(" ").filter((column) => !columns.includes(column)) ?? [];
    if (missing.length > 0) throw new UnreadableFile(`${name}.sql has no column ${missing.join(", ")}`);
    try {
      return parseRows((await readText(`${folder}/${name}.txt`, TABLE_MAX))!.text, columns);
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      throw new UnreadableFile(`${name}.txt ${error.message}`);
    }
  };
  const names = Object.keys(TABLES) as TableName[];
  const rows = await Promise.all(names.map(read));
  return Object.fromEntries(names.map((name, i) => [name, rows[i]!])) as Tables;
}

async function columnsOf(folder: string, name: TableName): Promise<string[]> {
  try {
    const { text } = (await readText(`${folder}/${name}.sql`, DEFINITION_MAX))!;
    const columns = parseDefinition(text);
    if (columns.length > 0) return columns;
  } catch (error) {
    if (!(error instanceof UnreadableFile)) throw error;
  }
  return TABLES[name].split(" ");
}

/** Columns of CREATE TABLE, in their order; each stands on a line of its own, its name in front. */
export function parseDefinition(sql: string): string[] {
  const body = /CREATE TABLE `[^`]*` \(\n(.*?)\n\)/s.exec(sql)?.[1] ?? "";
  return [...body.matchAll(/^\s*`([^`]+)`/gm)].map(([, column]) => column!);
}

/** @throws UnreadableFile when the last line has no end, or a row has too many or too few columns */
export function parseRows(text: string, columns: readonly string[]): Row[] {
  if (text === "") return [];
  if (!text.endsWith("\n")) throw new UnreadableFile("ends in the middle of a line: not all of it is written yet");
  return text
    .slice(0, -1)
    .split("\n")
    .map((line, i) => {
      const fields = line.split("\t");
      if (fields.length > columns.length) {
        throw new UnreadableFile(
          `line ${i + 1} has ${fields.length} columns, and the table ${columns.length}: add its .sql`,
        );
      }
      return Object.fromEntries(fields.map((field, at) => [columns[at]!, unescaped(field)]));
    });
}

const ESCAPES: Record<string, string> = { "0": "\0", b: "\b", n: "\n", r: "\r", t: "\t", Z: "\x1a" };

function unescaped(field: string): string | null {
  if (field === "\\N") return null;
  return field.replace(/\\(.)/g, (_, character: string) => ESCAPES[character] ?? character);
}
