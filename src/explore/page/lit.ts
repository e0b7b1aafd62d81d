// What the pointer or the focus is on lights up in all panes. An element says by `data-at` which bytes of linear memory it shows,
// "address+length", several with spaces between; all that shares a byte with them is lit.

interface Range {
  start: number;
  end: number;
}

let lit: Range[] = [];
let source: Element | undefined;

/** The attribute for these bytes. */
export function bytesAt(...places: readonly { address: number; length: number }[]): string {
  return places.map(({ address, length }) => `${address}+${length}`).join(" ");
}

/** Listens in the whole document; gives what ends it. */
export function startLighting(): () => void {
  const over = ({ target }: Event) => light((target as Element).closest?.("[data-at]") ?? undefined);
  const out = ({ relatedTarget }: PointerEvent | FocusEvent) => {
    if (!(relatedTarget instanceof Element) || !relatedTarget.closest("[data-at]")) light(undefined);
  };
  document.addEventListener("pointerover", over);
  document.addEventListener("focusin", over);
  document.addEventListener("pointerout", out);
  document.addEventListener("focusout", out);
  return () => {
    document.removeEventListener("pointerover", over);
    document.removeEventListener("focusin", over);
    document.removeEventListener("pointerout", out);
    document.removeEventListener("focusout", out);
  };
}

/** After something was drawn anew. */
export function relight(): void {
  for (const element of document.querySelectorAll("[data-at]")) {
    element.toggleAttribute("data-lit", lit.length > 0 && touches(rangesOf(element)));
  }
}

function light(element: Element | undefined): void {
  if (element === source) return;
  source = element;
  lit = element ? rangesOf(element) : [];
  relight();
}

function touches(ranges: readonly Range[]): boolean {
  return ranges.some(({ start, end }) => lit.some((range) => start < range.end && range.start < end));
}

function rangesOf(element: Element): Range[] {
  const text = element.getAttribute("data-at") ?? "";
  return text
    .split(" ")
    .filter(Boolean)
    .map((range) => {
      const [address, length] = range.split("+").map(Number);
      return { start: address!, end: address! + length! };
    });
}
