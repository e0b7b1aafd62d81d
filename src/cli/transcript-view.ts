// A transcript as a sequence diagram: the front-end on the left, the back-end on the right, what the switch did beside it.

import type { MessageLine, ParsedTranscript, TranscriptHead, TranscriptLine } from "../vhost-user/transcript.js";
import { effectText, messageText, printable, ringText } from "../vhost-user/transcript-text.js";

const TIME_WIDTH = 11;
const ARROW_WIDTH = 31;

/** One line for each message and, with `effects`, for each effect and each change of a ring. */
export function renderTranscript({ head, lines, torn }: ParsedTranscript, options: { effects: boolean }): string {
  const shown = lines.filter((line) => options.effects || "from" in line || "closed" in line || "cut" in line);
  const end = torn ? ["the transcript ends in the middle of a line: its switch was ended, or is writing still"] : [];
  const titles = `${"ms".padStart(TIME_WIDTH)}  ${"front-end".padEnd(ARROW_WIDTH - 3)}back-end  (! reply wanted)`;
  return `${[...headLines(head), "", titles, ...shown.map(renderLine), ...end].map(printable).join("\n")}\n`;
}

function headLines({ port, role, program, pid, started, version }: TranscriptHead): string[] {
  const who = `${program ?? "a front-end"}${pid === undefined ? "" : ` (pid ${pid})`}`;
  return [`port ${port} (${role}), ${who}, from ${started}, ringbridge ${version}`];
}

function renderLine(line: TranscriptLine): string {
  const time = line.ms.toFixed(3).padStart(TIME_WIDTH);
  const beside = `${" ".repeat(ARROW_WIDTH)}│`;
  if ("from" in line) return `${time}  │${arrow(line)}│ ${messageText(line)}`.trimEnd();
  if ("effect" in line) return `${time}  │${beside}   ${effectText(line)}`;
  if ("ring" in line) return `${time}  │${beside}   ${ringText(line)}`;
  return `${time}  ${"closed" in line ? `closed: ${line.closed}` : `cut short: ${line.cut}`}`;
}

function arrow({ from, name, needReply }: MessageLine): string {
  const label = ` ${name}${needReply ? " !" : ""} `;
  return from === "front-end" ? `─${label.padEnd(ARROW_WIDTH - 2, "─")}▶` : `◀${label.padStart(ARROW_WIDTH - 2, "─")}─`;
}
