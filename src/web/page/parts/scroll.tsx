// A part of the page that scrolls by itself, also with the keyboard.

import type { ComponentChildren, RefObject } from "preact";

interface ScrollProps {
  label: string;
  more?: string;
  element?: RefObject<HTMLElement | null>;
  onScroll?(): void;
  children: ComponentChildren;
}

export function Scroll({ label, more = "", element, onScroll, children }: ScrollProps) {
  return (
    // Who has no pointer scrolls it with the arrow keys.
    <section class={`scroll ${more}`} aria-label={label} ref={element} onScroll={onScroll} tabIndex={0}>
      {children}
    </section>
  );
}
