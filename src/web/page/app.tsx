// The page as a whole: what stands where, which port is chosen, and what is said when there is nothing to show.

import { useEffect, useState } from "preact/hooks";
import { Addresses } from "./parts/addresses.js";
import { Drops } from "./parts/drops.js";
import { Header } from "./parts/header.js";
import { Messages } from "./parts/messages.js";
import { PortPlots } from "./parts/port-plots.js";
import { RingPane } from "./parts/ring-pane.js";
import { Summary } from "./parts/summary.js";
import { TokenForm } from "./parts/token-form.js";
import { Topology } from "./parts/topology.js";
import { type Model, useModel } from "./model.js";
import type { Unit } from "./units.js";

/** Seconds that the plots show. */
export const SPANS = [60, 300, 900] as const;
export type Span = (typeof SPANS)[number];

export function App({ model }: { model: Model }) {
  useModel(model);
  const [unit, setUnit] = useState<Unit>("frames");
  const [span, setSpan] = useState<Span>(60);
  const [chosen, setChosen] = useState<string>();
  usePauseKey(model);
  const { picture, history, link, paused } = model;
  // What is chosen may be gone by now.
  const port = picture?.ports.find(({ name }) => name === chosen)?.name;
  const choose = (name: string | undefined) => setChosen(name === chosen ? undefined : name);

  return (
    <>
      <a class="skip-link" href="#ports">
        Skip to the ports
      </a>
      <Header model={model} unit={unit} onUnit={setUnit} span={span} onSpan={setSpan} />
      <main class={link.state === "gone" ? "live stale" : "live"}>
        {link.state === "token" ? (
          <TokenForm onToken={(token) => model.use(token)} />
        ) : picture === undefined ? (
          <p class="waiting" role="status">
            {link.state === "gone" ? `No picture yet: ${link.why}.` : "Connecting to the switch …"}
          </p>
        ) : (
          <>
            <Summary picture={picture} history={history} />
            <section class="panel area-topology" aria-labelledby="topology-title">
              <h2 id="topology-title">Switch and ports</h2>
              <Topology picture={picture} history={history} unit={unit} chosen={port} onChoose={choose} />
            </section>
            <section class="area-plots" aria-labelledby="ports">
              <h2 id="ports" tabIndex={-1}>
                {unit === "frames" ? "Frames" : "Bits"} per second, by port
              </h2>
              <PortPlots {...{ picture, history, unit, span, paused, chosen: port }} onChoose={choose} />
            </section>
            <section class="panel area-drops" aria-labelledby="drops-title">
              <h2 id="drops-title">Drops by cause</h2>
              <Drops picture={picture} history={history} span={span} paused={paused} port={port} />
            </section>
            <section class="panel area-ring" aria-labelledby="ring-title">
              <h2 id="ring-title">A ring as it moves</h2>
              <RingPane token={model.currentToken} ports={picture.ports} port={port} paused={paused} />
            </section>
            <section class="panel area-addresses" aria-labelledby="addresses-title">
              <h2 id="addresses-title">Addresses</h2>
              <Addresses picture={picture} port={port} />
            </section>
            <section class="panel area-messages" aria-labelledby="messages-title">
              <h2 id="messages-title">Messages</h2>
              <Messages picture={picture} port={port} />
            </section>
          </>
        )}
      </main>
    </>
  );
}

/** P pauses and goes on, unless somebody writes. */
function usePauseKey(model: Model): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const { target, key, ctrlKey, metaKey, altKey } = event;
      const writes = target instanceof HTMLElement && target.matches("input, select, textarea");
      if (key.toLowerCase() === "p" && !writes && !ctrlKey && !metaKey && !altKey) model.pause(!model.paused);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [model]);
}
