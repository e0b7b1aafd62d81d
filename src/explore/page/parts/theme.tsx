// The switch between light and dark: the system's wish until somebody says otherwise, which is kept in this browser.

import { useState } from "preact/hooks";

const KEY = "ringbridge-theme";
type Theme = "light" | "dark";

/** Puts the kept theme on <html>; to be called before the first paint. */
export function applyTheme(): void {
  const kept = read();
  if (kept) document.documentElement.dataset.theme = kept;
}

export function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(current);
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    document.documentElement.dataset.theme = other;
    write(other);
    setTheme(other);
  };
  return (
    <button type="button" class="quiet" onClick={change} title={`Change to the ${other} theme`}>
      <span aria-hidden="true">{theme === "dark" ? "☀" : "☾"}</span>
      <span class="visually-hidden">Change to the {other} theme</span>
    </button>
  );
}

function current(): Theme {
  const kept = document.documentElement.dataset.theme;
  if (kept === "light" || kept === "dark") return kept;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

// A page from a file, or a frame of another site, may have no storage.
function read(): Theme | undefined {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : undefined;
  } catch {
    return undefined;
  }
}

function write(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Then it lasts as long as the page.
  }
}
