// Keeps the URL at the moment that the machine is at, so that it can be copied at any time.

import { useEffect } from "preact/hooks";
import type { Session } from "./session.js";

const DELAY_MS = 250;

/** `route` gives the part behind "#". It is written when nothing has changed for a moment: browsers limit how often one may. */
export function useSharedUrl(session: Session, route: () => string, ...also: readonly unknown[]): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const write = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (!session.playing) history.replaceState(null, "", route());
      }, DELAY_MS);
    };
    const end = session.subscribe(write);
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [session, ...also]);
}
