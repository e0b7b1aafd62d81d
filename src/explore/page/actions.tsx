// What guests can be told to do, and what can be put wrong by hand.

import { useState } from "preact/hooks";
import { BAD_CHAINS, type BadChain, type Fault, type Operation } from "../machine/index.js";
import type { Session } from "./session.js";

export interface Action {
  label: string;
  guest: number;
  operation: Operation;
}

/** Buttons for given actions. An operation waits until its driver is stepped; `run` steps it through at once. */
export function Actions({ session, actions }: { session: Session; actions: readonly Action[] }) {
  return (
    <div class="actions" role="group" aria-label="Tell a guest">
      {actions.map(({ label, guest, operation }) => (
        <button key={label} type="button" class="by-driver" onClick={() => session.operate(guest, operation)}>
          {label}
        </button>
      ))}
    </div>
  );
}

type Kind = "send" | "bad" | "post" | "receive" | "reclaim" | "calls" | "no-calls";
const KINDS: Record<Kind, string> = {
  send: "send a frame",
  bad: "give a bad chain",
  post: "give receive buffers",
  receive: "take what came",
  reclaim: "take sent buffers back",
  calls: "ask for calls",
  "no-calls": "want no calls",
};

/** Every operation there is, put together by hand. */
export function ActionForm({ session }: { session: Session }) {
  const [guest, setGuest] = useState(0);
  const [kind, setKind] = useState<Kind>("send");
  const [to, setTo] = useState("1");
  const [payload, setPayload] = useState(26);
  const [pieces, setPieces] = useState("");
  const [how, setHow] = useState("");
  const [bad, setBad] = useState<BadChain>("address");
  const guests = session.view.guests;
  const give = (event: Event) => {
    event.preventDefault();
    session.operate(guest, operationOf());
  };
  const operationOf = (): Operation => {
    if (kind === "bad") return { do: "send-bad", bad };
    if (kind === "post") return { do: "post", buffers: 1 };
    if (kind === "receive") return { do: "receive", again: true };
    if (kind === "reclaim") return { do: "reclaim" };
    if (kind !== "send") return { do: "calls", queue: "receiveq", wanted: kind === "calls" };
    const lengths = pieces
      .split(/[ ,]+/)
      .map(Number)
      .filter((length) => length > 0);
    return {
      do: "send",
      to: to === "broadcast" || to === "unknown" ? to : Number(to),
      payload,
      ...(lengths.length > 0 ? { pieces: lengths } : {}),
      ...(how === "indirect" ? { indirect: true } : {}),
      ...(how === "checksum" || how === "segments" ? { leave: how } : {}),
    };
  };
  return (
    <form class="action-form" onSubmit={give} aria-label="Tell a guest">
      <label>
        <span class="label">Guest</span>
        <select value={guest} onChange={({ currentTarget }) => setGuest(Number(currentTarget.value))}>
          {guests.map(({ name, number }) => (
            <option key={name} value={number}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="label">does</span>
        <select value={kind} onChange={({ currentTarget }) => setKind(currentTarget.value as Kind)}>
          {Object.entries(KINDS).map(([key, text]) => (
            <option key={key} value={key}>
              {text}
            </option>
          ))}
        </select>
      </label>
      {kind === "bad" && (
        <label>
          <span class="label">with a bad</span>
          <select value={bad} onChange={({ currentTarget }) => setBad(currentTarget.value as BadChain)}>
            {BAD_CHAINS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      )}
      {kind === "send" && (
        <>
          <label>
            <span class="label">to</span>
            <select value={to} onChange={({ currentTarget }) => setTo(currentTarget.value)}>
              {guests.map(({ name, number }) => (
                <option key={name} value={number}>
                  {name}
                </option>
              ))}
              <option value="broadcast">everybody</option>
              <option value="unknown">an unknown address</option>
            </select>
          </label>
          <label>
            <span class="label">payload, bytes</span>
            <input
              type="number"
              min={0}
              max={4096}
              value={payload}
              onInput={({ currentTarget }) => setPayload(Number(currentTarget.value) || 0)}
            />
          </label>
          <label>
            <span class="label">pieces, bytes</span>
            <input
              type="text"
              inputMode="numeric"
              placeholder="12, 42"
              value={pieces}
              onInput={({ currentTarget }) => setPieces(currentTarget.value)}
            />
          </label>
          <label>
            <span class="label">how</span>
            <select value={how} onChange={({ currentTarget }) => setHow(currentTarget.value)}>
              <option value="">plain</option>
              {guests[guest]?.setup.indirect && <option value="indirect">indirect table</option>}
              {guests[guest]?.setup.offloads && <option value="checksum">checksum left</option>}
              {guests[guest]?.setup.offloads && <option value="segments">segmentation left</option>}
            </select>
          </label>
        </>
      )}
      <button type="submit" class="by-driver">
        Tell {guests[guest]?.name}
      </button>
    </form>
  );
}

/** Puts something wrong, and says what is wrong at the moment. */
export function Faults({ session }: { session: Session }) {
  const { faults, held, guests } = session.view;
  const toggle = (on: boolean, label: string, fault: Fault) => (
    <button key={label} type="button" aria-pressed={on} onClick={() => session.fault(fault)}>
      {label}
    </button>
  );
  return (
    <div class="faults" role="group" aria-label="Faults by hand">
      {guests.flatMap(({ name, number }) => [
        toggle(faults.hold[number]! > 0, `delay ${name}'s next store`, {
          fault: "hold-store",
          guest: number,
          accesses: faults.hold[number]! > 0 ? 0 : 200,
        }),
        toggle(faults.loseKick[number]!, `lose ${name}'s next kick`, { fault: "lose-kick", guest: number }),
        toggle(faults.loseCall[number]!, `lose the next call to ${name}`, { fault: "lose-call", guest: number }),
      ])}
      {toggle(faults.skipRecheck, "the switch forgets to look again", {
        fault: "skip-recheck",
        skip: !faults.skipRecheck,
      })}
      <button type="button" onClick={() => session.passTime(300)}>
        let 300 seconds pass
      </button>
      {held.map(({ guest, at }) => (
        <button key={at} type="button" onClick={() => session.fault({ fault: "let-go", guest })}>
          let {guests[guest]!.name}'s held stores go
        </button>
      ))}
    </div>
  );
}
