// Tells the frame which machine is on the page, for the keys.

import { createContext } from "preact";
import { useContext, useEffect } from "preact/hooks";
import type { Session } from "./session.js";

export const SessionContext = createContext<(session: Session | undefined) => void>(() => {});

/** While the caller is on the page, keys are for this machine. */
export function useKeysFor(session: Session): void {
  const tell = useContext(SessionContext);
  useEffect(() => {
    tell(session);
    // For whoever opens the console, and for the tests.
    Object.assign(globalThis, { explorer: session });
    return () => {
      session.pause();
      tell(undefined);
    };
  }, [session, tell]);
}
