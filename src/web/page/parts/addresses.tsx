// The learned addresses: which is behind which port, and how long ago it was heard.

import { useState } from "preact/hooks";
import { formatCount, formatDuration } from "../../../cli/table.js";
import { ADDRESSES_MAX } from "../../live.js";
import type { Picture } from "../model.js";
import { Scroll } from "./scroll.js";

const ROWS_MAX = 200;

export function Addresses({ picture, port }: { picture: Picture; port: string | undefined }) {
  const [search, setSearch] = useState("");
  const [own, setOwn] = useState("");
  const { addresses, fdb, ports } = picture;
  // What is chosen for the whole page comes first.
  const wanted = port ?? own;
  const plain = (text: string) => text.toLowerCase().replace(/[^0-9a-f]/g, "");
  const found = addresses
    .filter((each) => (wanted === "" || each.port === wanted) && plain(each.mac).includes(plain(search)))
    .sort((a, b) => a.port.localeCompare(b.port, undefined, { numeric: true }) || (a.mac < b.mac ? -1 : 1));
  return (
    <>
      <div class="filters">
        <label>
          MAC address{" "}
          <input
            type="text"
            inputMode="text"
            autocomplete="off"
            spellcheck={false}
            placeholder="52:54:00"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        </label>
        <label>
          Port{" "}
          <select value={wanted} disabled={port !== undefined} onChange={(event) => setOwn(event.currentTarget.value)}>
            <option value="">all</option>
            {ports.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      {found.length === 0 ? (
        <p class="empty">
          {fdb.entries === 0
            ? "No address is known yet: one is learned when a guest sends its first frame."
            : "No learned address is like that."}
        </p>
      ) : (
        <Scroll label="Learned addresses">
          <table class="addresses">
            <thead>
              <tr>
                <th scope="col">MAC address</th>
                <th scope="col">Port</th>
                <th scope="col" class="number">
                  Heard
                </th>
              </tr>
            </thead>
            <tbody>
              {found.slice(0, ROWS_MAX).map(({ mac, port: at, ageSeconds }) => (
                <tr key={mac}>
                  <td class="mono">{mac}</td>
                  <td>{at}</td>
                  <td class="number">{ageSeconds < 6 ? "just now" : `${formatDuration(ageSeconds * 1000)} ago`}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      <p class="note">
        {formatCount(fdb.entries)} known, {formatCount(fdb.learned)} learned, {formatCount(fdb.moved)} moved to another
        port, {formatCount(fdb.aged)} forgotten after {formatDuration(fdb.ageingSeconds * 1000)} of silence
        {fdb.refused > 0 && `, ${formatCount(fdb.refused)} refused because the table or a port's share was full`}.
        {found.length > ROWS_MAX && ` Shown: ${ROWS_MAX} of ${found.length}.`}
        {fdb.entries > ADDRESSES_MAX && ` This page has ${ADDRESSES_MAX} of them; ringbridge fdb lists all.`}
      </p>
    </>
  );
}
