// The machine by itself: any setup, any operation, any fault. Also what is embedded as a figure.

import { useEffect, useState } from "preact/hooks";
import { decodeState, encodeState, type GuestSetup, makeSetup, type Setup } from "../machine/index.js";
import { ActionForm, Faults } from "./actions.js";
import type { CoreFiles } from "./core-files.js";
import { Session } from "./session.js";
import { useKeysFor } from "./session-context.js";
import { Stage, useSession } from "./stage.js";
import { type Route, writeRoute } from "./url.js";
import { useSharedUrl } from "./use-url.js";

interface Props {
  files: CoreFiles;
  route: Route;
  /** Queues of a figure: then nothing but them. */
  figure: readonly string[] | undefined;
  onError(error: Error): void;
}

export function Lab({ files, route, figure, onError }: Props) {
  const [session, setSession] = useState<Session>();
  useEffect(() => {
    const made = async () =>
      route.state ? Session.open(decodeState(route.state), files.build) : Session.make(makeSetup(), files.build);
    made().then(setSession, onError);
  }, []);
  if (!session) return <p class="loading">…</p>;
  return <LabBody {...{ files, session, figure }} />;
}

function LabBody({
  files,
  session,
  figure,
}: {
  files: CoreFiles;
  session: Session;
  figure: readonly string[] | undefined;
}) {
  useSession(session);
  useKeysFor(session);
  useSharedUrl(session, () => writeRoute({ page: "lab", state: encodeState(session.machine.state) }));
  const names = session.view.guests.flatMap(({ transmitq, receiveq }) => [transmitq.name, receiveq.name]);
  const [shown, setShown] = useState<readonly string[]>(figure ?? ["a.transmitq", "b.receiveq"]);
  const toggle = (name: string) =>
    setShown(
      shown.includes(name)
        ? shown.filter((each) => each !== name)
        : names.filter((each) => each === name || shown.includes(each)),
    );
  const shows = shown.filter((name) => names.includes(name));
  if (figure) {
    return (
      <main id="main">
        <Stage session={session} sources={files.sources} shows={shows} figure />
        <a class="note figure-link" href={location.href.replace(/\?figure=[^#]*/, "")} target="_blank" rel="noreferrer">
          Open in the virtqueue explorer
        </a>
      </main>
    );
  }
  return (
    <main id="main" class="lab">
      <h1>Laboratory</h1>
      <SetupForm key={JSON.stringify(session.machine.setup)} session={session} />
      <p class="row" role="group" aria-label="Pictures">
        {names.map((name) => (
          <button
            key={name}
            type="button"
            class="mono"
            aria-pressed={shown.includes(name)}
            onClick={() => toggle(name)}
          >
            {name}
          </button>
        ))}
      </p>
      <ActionForm session={session} />
      <details class="menu">
        <summary>Faults by hand</summary>
        <Faults session={session} />
      </details>
      <Stage session={session} sources={files.sources} shows={shows} overview />
    </main>
  );
}

const SWITCHES = {
  indirect: "indirect tables",
  eventIdx: "event idx",
  mergeable: "mergeable buffers",
  offloads: "offloads",
} as const;

/** Another machine: it begins anew. */
function SetupForm({ session }: { session: Session }) {
  const [setup, setSetup] = useState<Setup>(session.machine.setup);
  const [error, setError] = useState("");
  const change = (guest: number, part: Partial<GuestSetup>) =>
    setSetup({ ...setup, guests: setup.guests.map((each, i) => (i === guest ? { ...each, ...part } : each)) });
  const make = (event: Event) => {
    event.preventDefault();
    session.replace(setup).then(
      () => setError(""),
      (problem: Error) => setError(problem.message),
    );
  };
  const count = (value: number) => {
    const guests = Array.from({ length: value }, (_, i) => setup.guests[i] ?? setup.guests[0]!);
    setSetup({ ...setup, guests, learned: setup.learned.filter((guest) => guest < value) });
  };
  return (
    <details class="menu setup">
      <summary>
        Setup: {setup.guests.map(({ ring, size }) => `${ring} ${size}`).join(", ")}; the switch{" "}
        {setup.device === "asleep" ? "sleeps" : "polls"}
      </summary>
      <form onSubmit={make}>
        <label>
          <span class="label">Guests</span>
          <select value={setup.guests.length} onChange={({ currentTarget }) => count(Number(currentTarget.value))}>
            <option>2</option>
            <option>3</option>
          </select>
        </label>
        <label>
          <span class="label">The switch begins</span>
          <select
            value={setup.device}
            onChange={({ currentTarget }) => setSetup({ ...setup, device: currentTarget.value as Setup["device"] })}
          >
            <option value="asleep">asleep</option>
            <option value="polling">polling</option>
          </select>
        </label>
        {setup.guests.map((guest, i) => (
          <fieldset key={i}>
            <legend>guest {"abc"[i]}</legend>
            <label>
              <span class="label">ring</span>
              <select
                value={guest.ring}
                onChange={({ currentTarget }) => change(i, { ring: currentTarget.value as GuestSetup["ring"] })}
              >
                <option>split</option>
                <option>packed</option>
              </select>
            </label>
            <Count
              label="entries"
              value={guest.size}
              least={2}
              most={64}
              onChange={(size) => change(i, { size, rxBuffers: Math.min(guest.rxBuffers, size) })}
            />
            <Count
              label="receive buffers"
              value={guest.rxBuffers}
              least={0}
              most={64}
              onChange={(rxBuffers) => change(i, { rxBuffers })}
            />
            <Count
              label="bytes of each"
              value={guest.rxBufferBytes}
              least={32}
              most={4096}
              onChange={(rxBufferBytes) => change(i, { rxBufferBytes })}
            />
            {Object.entries(SWITCHES).map(([key, text]) => (
              <label key={key}>
                <input
                  type="checkbox"
                  checked={guest[key as keyof typeof SWITCHES]}
                  onChange={({ currentTarget }) => change(i, { [key]: currentTarget.checked })}
                />{" "}
                {text}
              </label>
            ))}
          </fieldset>
        ))}
        <button type="submit" class="primary">
          Make this machine
        </button>
        {error && (
          <p class="error" role="alert">
            {error}
          </p>
        )}
      </form>
    </details>
  );
}

function Count({
  label,
  value,
  least,
  most,
  onChange,
}: {
  label: string;
  value: number;
  least: number;
  most: number;
  onChange(value: number): void;
}) {
  return (
    <label>
      <span class="label">{label}</span>
      <input
        type="number"
        min={least}
        max={most}
        value={value}
        onInput={({ currentTarget }) => onChange(currentTarget.valueAsNumber || 0)}
      />
    </label>
  );
}
