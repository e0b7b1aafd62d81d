// JUnit's XML as CI systems read it: suites of cases. Uses nothing of Node.

export interface JunitCase {
  classname: string;
  name: string;
  milliseconds: number;
  /** What kept it from passing; undefined: it passed. An error is one of the thing examined, not of what it did. */
  problem?: { kind: "failure" | "error" | "skipped"; message: string; type?: string; text?: string };
}

export interface JunitSuite {
  name: string;
  /** ISO 8601; absent where a document must not depend on the hour. */
  timestamp?: string;
  cases: readonly JunitCase[];
}

/** The whole document. `milliseconds`: default the sum of all cases. */
export function junitXml(name: string, suites: readonly JunitSuite[], milliseconds?: number): string {
  const cases = suites.flatMap((suite) => suite.cases);
  const all = { name, ...sums(cases), time: time(milliseconds ?? total(cases)) };
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites${xml(all)}>\n${suites.map(suiteXml).join("")}</testsuites>\n`;
}

function suiteXml({ name, timestamp, cases }: JunitSuite): string {
  const attributes = { name, ...sums(cases), time: time(total(cases)), ...(timestamp !== undefined && { timestamp }) };
  return `  <testsuite${xml(attributes)}>\n${cases.map(caseXml).join("")}  </testsuite>\n`;
}

function caseXml({ classname, name, milliseconds, problem }: JunitCase): string {
  const start = `    <testcase${xml({ classname, name, time: time(milliseconds) })}`;
  if (problem === undefined) return `${start}/>\n`;
  const { kind, message, type, text } = problem;
  const tag = `${kind}${xml({ message, ...(type !== undefined && { type }) })}`;
  return `${start}><${text === undefined ? `${tag}/>` : `${tag}>${xmlText(text)}</${kind}>`}</testcase>\n`;
}

function sums(cases: readonly JunitCase[]): Record<string, number> {
  const count = (kind: string) => cases.filter(({ problem }) => problem?.kind === kind).length;
  return { tests: cases.length, failures: count("failure"), errors: count("error"), skipped: count("skipped") };
}

function total(cases: readonly JunitCase[]): number {
  return cases.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
}

/** Seconds. */
function time(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}

function xml(attributes: Record<string, string | number>): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${xmlText(String(value))}"`)
    .join("");
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** Text as XML 1.0 allows it: what no document may contain, escaped or not, becomes a replacement character. */
function xmlText(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
