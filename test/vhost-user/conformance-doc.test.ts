// docs/CONFORMANCE.md says what the code offers, no more and no less, and every test that it names is there and names
// what it is to show.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { hasBit } from "../../src/core/feature-bits.js";
import {
  DEFAULT_FEATURES,
  DEFAULT_PROTOCOL_FEATURES,
  FEATURE_NAMES,
  PROTOCOL_FEATURE_NAMES,
} from "../../src/vhost-user/features.js";
import { MESSAGES } from "../../src/vhost-user/message.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const doc = readFileSync(`${root}/docs/CONFORMANCE.md`, "utf8");
const TEST = "Test, or why not";

type Row = Record<string, string>;

/** The table below a heading, its cells by column title. */
function table(heading: string): Row[] {
  const section = doc.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/CONFORMANCE.md has no section "${heading}"`);
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  const cells = (line: string) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim());
  const titles = cells(lines[0]!);
  return lines.slice(2).map((line) => Object.fromEntries(cells(line).map((cell, i) => [titles[i]!, cell])));
}

function testsOf(row: Row): string[] {
  return [...row[TEST]!.matchAll(/`(test\/[^`]+\.test\.ts)`/g)].map(([, file]) => file!);
}

/** What is wrong with the tests that a row names for `word`, which each of them must have as a word of its own. */
function testProblems(row: Row, word: RegExp, label: string): string[] {
  const files = testsOf(row);
  if (files.length === 0) return [`${label}: name the test that shows it`];
  return files.flatMap((file) => {
    if (!existsSync(`${root}/${file}`)) return [`${label}: there is no ${file}`];
    return word.test(readFileSync(`${root}/${file}`, "utf8")) ? [] : [`${label}: ${file} does not name it`];
  });
}

/** A row about something that the code offers, or does not. An option is off unless a port asks for it. */
function offerProblems(row: Row | undefined, label: string, offered: boolean, word: RegExp): string[] {
  if (row === undefined) return [`${label}: has no row`];
  const ours = row.ringbridge!;
  const allowed = offered ? ["yes", "stub"] : ["no", "option"];
  if (!allowed.includes(ours)) {
    return [`${label}: the code ${offered ? "offers it" : "does not offer it"}, the table says "${ours}"`];
  }
  if (ours !== "no") return testProblems(row, word, label);
  return row[TEST] === "" ? [`${label}: say why not`] : [];
}

function bitProblems(rows: Row[], names: Readonly<Record<number, string>>, prefix: RegExp, offer: bigint): string[] {
  const wanted = Object.entries(names).filter(([, name]) => prefix.test(name));
  const nameOf = (row: Row) => row.Feature ?? Object.entries(row)[1]![1];
  const strange = rows
    .filter(({ Bit }) => !wanted.some(([bit]) => bit === Bit))
    .map(({ Bit }) => `bit ${Bit}: is none`);
  const problems = wanted.flatMap(([bit, name]) => {
    const row = rows.find(({ Bit }) => Bit === bit);
    const short = name.replace(prefix, "");
    const misnamed = row !== undefined && ![short, name].includes(nameOf(row)) ? [`bit ${bit}: is ${name}`] : [];
    const word = new RegExp(`(\\b|_F_)${name.replace(/^.*_F_/, "")}\\b`);
    return [...misnamed, ...offerProblems(row, name, hasBit(offer, Number(bit)), word)];
  });
  return [...strange, ...problems];
}

describe("docs/CONFORMANCE.md says what the code offers", () => {
  test("requests of the front-end", () => {
    const rows = table("Requests of the front-end");
    const problems = Object.values(MESSAGES).flatMap(({ number, name, supported }) => {
      const row = rows.find((candidate) => candidate["#"] === String(number) && candidate.Request === name);
      return offerProblems(row, name, supported, new RegExp(`\\b${name}\\b`));
    });
    expect(problems).toEqual([]);
    expect(rows).toHaveLength(Object.keys(MESSAGES).length);
  });

  test("protocol features", () => {
    const rows = table("Protocol features");
    const prefix = /^VHOST_USER_PROTOCOL_F_/;
    expect(bitProblems(rows, PROTOCOL_FEATURE_NAMES, prefix, DEFAULT_PROTOCOL_FEATURES)).toEqual([]);
  });

  test("virtio-net features", () => {
    expect(bitProblems(table("virtio-net features"), FEATURE_NAMES, /^VIRTIO_NET_F_/, DEFAULT_FEATURES)).toEqual([]);
  });

  test("transport features", () => {
    const prefix = /^(?!VIRTIO_NET_F_)/;
    expect(bitProblems(table("Transport features"), FEATURE_NAMES, prefix, DEFAULT_FEATURES)).toEqual([]);
  });
});

describe("docs/CONFORMANCE.md names the tests of all cases", () => {
  test.each([
    ["Cases of other projects' tests", "F", 44],
    ["Malicious and malformed input", "M", 53],
  ])("%s", (heading, letter, count) => {
    const rows = table(heading);
    expect(rows.map(({ Id }) => Id)).toEqual(Array.from({ length: count }, (_, i) => `${letter}${i + 1}`));
    const problems = rows.flatMap((row) => {
      const { Id, Outcome } = row;
      if (Outcome === "shown" || Outcome === "part") return testProblems(row, new RegExp(`\\b${Id}\\b`), Id!);
      if (Outcome === "open") return testsOf(row).length > 0 ? [`${Id}: it has a test, so it is not open`] : [];
      if (Outcome !== "does not apply") return [`${Id}: "${Outcome}" is no outcome`];
      return row[TEST] === "" ? [`${Id}: say why it does not apply`] : [];
    });
    expect(problems).toEqual([]);
  });

  test("and no test that is not there", () => {
    const named = [...doc.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file!);
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter((file) => !existsSync(`${root}/${file}`))).toEqual([]);
  });
});
