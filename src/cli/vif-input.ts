// What the commands of `ringbridge vif` are given: JSON in a file or on standard input.

import { readFile, stat } from "node:fs/promises";
import { type Io, UsageError } from "./io.js";

/** Far beyond a list of all ports that a switch can have. */
const INPUT_MAX = 16 * 1024 * 1024;

/**
 * Reads one JSON document.
 * @param file its path; "-" is standard input
 * @throws UsageError with a sentence when it cannot be read, is too long or is no JSON
 */
export async function readJson(file: string, io: Io): Promise<unknown> {
  const where = file === "-" ? "standard input" : file;
  const text = file === "-" ? await readStandardInput(io) : await readText(file);
  if (text.trim() === "") throw new UsageError(`${where} is empty: it must be JSON`);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UsageError(`${where} is no JSON: ${(error as Error).message}`);
  }
}

async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > INPUT_MAX) throw tooLong(file);
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
  }
}

async function readStandardInput(io: Io): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of io.stdin) {
    pieces.push(Buffer.from(piece));
    length += pieces.at(-1)!.length;
    if (length > INPUT_MAX) throw tooLong("standard input");
  }
  return Buffer.concat(pieces).toString("utf8");
}

function tooLong(what: string): UsageError {
  return new UsageError(`${what} is longer than ${INPUT_MAX >> 20} MiB: give fewer ports at a time`);
}
