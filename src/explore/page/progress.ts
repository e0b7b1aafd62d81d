// Which lessons this browser's reader has done.

const KEY = "ringbridge-lessons";

export function lessonsDone(): ReadonlySet<string> {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return new Set(Array.isArray(kept) ? kept.filter((id): id is string => typeof id === "string") : []);
  } catch {
    return new Set();
  }
}

export function markDone(id: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify([...new Set([...lessonsDone(), id])]));
  } catch {
    // A frame of another site has no storage: then nothing is remembered.
  }
}
