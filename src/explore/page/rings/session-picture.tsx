// Where the regions of a guest's RAM are: for the guest, for its front-end, and in the switch's linear memory; and the rings in them.

import type { SessionView } from "../../machine/session/index.js";
import { Arrow, Picture } from "./parts.js";
import { useWidth } from "./ring.js";

const HEAD = 40;
const BOX = 64;
const GAP = 14;

export function SessionPicture({ view }: { view: SessionView }) {
  const { place, width } = useWidth();
  const { regions, rings } = view;
  const height = HEAD + Math.max(1, regions.length) * (BOX + GAP) + 76;
  const column = Math.floor((width - 90) / 2);
  const right = width - column - 1;
  const top = (i: number) => HEAD + i * (BOX + GAP);
  return (
    <figure class="ring-figure" ref={place} aria-label="Memory of front-end and switch">
      {width > 0 && (
        <Picture width={width} height={height} label={describe(view)}>
          <text class="name driver-text" x={1} y={20}>
            front-end (QEMU)
          </text>
          <text class="name device-text" x={right} y={20}>
            switch: linear memory
          </text>
          {regions.length === 0 && (
            <text class="small" x={right} y={HEAD + 30}>
              nothing mapped yet
            </text>
          )}
          {regions.map(({ guestAddress, userAddress, size, window, fd }, i) => (
            <g key={fd}>
              <g class="box part-driver">
                <rect x={1} y={top(i)} width={column} height={BOX} rx={4} />
                <text x={10} y={top(i) + 18}>{`guest ${hex(guestAddress)}`}</text>
                <text x={10} y={top(i) + 36}>{`QEMU ${hex(userAddress)}`}</text>
                <text class="small" x={10} y={top(i) + 54}>{`${size >> 20n} MiB, descriptor ${fd}`}</text>
              </g>
              <g class="box part-device">
                <rect x={right} y={top(i)} width={column} height={BOX} rx={4} />
                <text x={right + 10} y={top(i) + 18}>{`window at 0x${window.toString(16)}`}</text>
                <text class="small" x={right + 10} y={top(i) + 36}>
                  {ringsIn(view, window, size) || "buffers"}
                </text>
              </g>
              <Arrow
                class="arrow-device"
                from={[column + 2, top(i) + BOX / 2]}
                to={[right - 1, top(i) + BOX / 2]}
                bend={24}
              />
              <text class="small" x={(column + right) / 2} y={top(i) + BOX / 2 - 6} text-anchor="middle">
                mmap
              </text>
            </g>
          ))}
          {rings.map(({ index, name, size, kick, call, enabled, running }, i) => (
            <text key={index} class="small" x={1} y={height - 40 + i * 20}>
              {`${name}: ${size || "?"} entries, ${kick === null ? "no kick" : `kick ${kick}`}, ${call === null ? "no call" : `call ${call}`}, ${running ? "runs" : "stands"}${enabled ? "" : ", not enabled"}`}
            </text>
          ))}
        </Picture>
      )}
    </figure>
  );
}

/** The rings with a part in this window. */
function ringsIn({ rings }: SessionView, window: number, size: bigint): string {
  const end = window + Number(size);
  const names = rings.filter(({ parts }) => parts.some(({ offset = 0 }) => offset >= window && offset < end));
  return names.map(({ name }) => name).join(", ");
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function describe({ regions, rings }: SessionView): string {
  const mapped = regions
    .map(({ guestAddress, window }) => `${hex(guestAddress)} at 0x${window.toString(16)}`)
    .join(", ");
  const state = rings.map(({ name, running }) => `${name} ${running ? "runs" : "stands"}`).join(", ");
  return `Regions mapped: ${mapped || "none"}. Rings: ${state || "none"}.`;
}
