// The small markup of the lessons' texts: paragraphs by empty lines, lists by "- ", and in a line `code`, *stress*, [clause] of the
// specification, and [words](#address).

export type Span =
  | { kind: "text" | "code" | "stress"; text: string }
  | { kind: "clause"; text: string }
  | { kind: "link"; text: string; to: string };

export interface Block {
  kind: "paragraph" | "list";
  /** A paragraph has one. */
  items: Span[][];
}

const INLINE = /`([^`]+)`|\*([^*]+)\*|\[(\d[\d.]*)\]|\[([^\]]+)\]\(([^)]+)\)/g;

export function parseProse(text: string): Block[] {
  return text
    .trim()
    .split(/\n\s*\n/)
    .map((block) => {
      const lines = block.split("\n").map((line) => line.trim());
      if (!lines[0]!.startsWith("- ")) return { kind: "paragraph", items: [spans(lines.join(" "))] };
      const items = lines.join("\n").split(/\n(?=- )/);
      return { kind: "list", items: items.map((item) => spans(item.slice(2).replaceAll("\n", " "))) };
    });
}

function spans(text: string): Span[] {
  const found: Span[] = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > last) found.push({ kind: "text", text: text.slice(last, match.index) });
    const [whole, code, stress, clause, words, to] = match;
    if (code !== undefined) found.push({ kind: "code", text: code });
    else if (stress !== undefined) found.push({ kind: "stress", text: stress });
    else if (clause !== undefined) found.push({ kind: "clause", text: clause });
    else found.push({ kind: "link", text: words!, to: to! });
    last = match.index + whole.length;
  }
  if (last < text.length) found.push({ kind: "text", text: text.slice(last) });
  return found;
}
