// Text for terminals: aligned tables, and numbers with units short enough to compare at a glance.

export interface Column {
  title: string;
  /** left unless said otherwise; numbers read best at the right. */
  align?: "left" | "right";
}

/**
 * Rows under their titles, each column as wide as its widest cell, two blanks between columns, no blanks at line ends.
 * Missing cells are empty. The result has no newline at its end.
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => columns.map((_, i) => String(row[i] ?? "")))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const cell = (text: string, i: number) =>
    columns[i]!.align === "right" ? text.padStart(widths[i]!) : text.padEnd(widths[i]!);
  return lines.map((line) => line.map(cell).join("  ").trimEnd()).join("\n");
}

/** Every line of `text` moved to the right. */
export function indent(text: string, by = 2): string {
  return text.replace(/^(?=.)/gm, " ".repeat(by));
}

const SI = ["", "k", "M", "G", "T", "P"];
const IEC = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Three significant digits and the prefix that makes them so: 1234567 by 1000 → ["1.23", 2]. */
function scale(value: number, step: number, prefixes: number): [digits: string, prefix: number] {
  let rest = Math.abs(value);
  let prefix = 0;
  // 999.5 would be shown as 1000: it belongs to the next prefix.
  while (rest >= (prefix === 0 ? step : step - 0.5) && prefix < prefixes - 1) {
    rest /= step;
    prefix++;
  }
  // Whole numbers without a prefix stay as they are.
  const digits =
    prefix === 0 ? (Number.isInteger(rest) ? 0 : rest < 10 ? 2 : 1) : rest < 9.995 ? 2 : rest < 99.95 ? 1 : 0;
  return [`${value < 0 ? "-" : ""}${rest.toFixed(digits)}`, prefix];
}

/** A count: exact up to 99999, then with a prefix: 1234567 → "1.23 M". */
export function formatCount(count: number): string {
  if (!Number.isFinite(count)) return "-";
  if (Math.abs(count) < 100_000) return String(Math.round(count));
  const [digits, prefix] = scale(count, 1000, SI.length);
  return `${digits} ${SI[prefix]}`;
}

/** Something per second, with its unit: (1234567, "pps") → "1.23 Mpps", (5e8, "bit/s") → "500 Mbit/s". */
export function formatRate(perSecond: number, unit: string): string {
  if (!Number.isFinite(perSecond)) return "-";
  const [digits, prefix] = scale(Math.abs(perSecond) < 1000 ? Math.round(perSecond) : perSecond, 1000, SI.length);
  return `${digits} ${SI[prefix]}${unit}`;
}

/** An amount of memory: 1610612736 → "1.50 GiB". */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return "-";
  const [digits, prefix] = scale(Math.round(bytes), 1024, IEC.length);
  return `${digits} ${IEC[prefix]}`;
}

/** A span of time in its two largest units: 3723000 → "1 h 2 min". */
export function formatDuration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return "-";
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(" ");
}
