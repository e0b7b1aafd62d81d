// The structs by field name, as the specification declares them, with values now: of a queue, of a buffer's header, of the switch.

import { useState } from "preact/hooks";
import type { FieldView, GuestView, QueueView } from "../../machine/index.js";
import { bytesAt } from "../lit.js";
import { touchOf } from "../rings/parts.js";
import { type Session, touchedBy } from "../session.js";

interface Struct {
  name: string;
  fields: readonly (readonly [string, FieldView])[];
}

export function Fields({ session }: { session: Session }) {
  const queues = session.view.guests.flatMap(({ transmitq, receiveq }) => [transmitq, receiveq]);
  const [chosen, setChosen] = useState("");
  const touchedQueue = session.current?.places.find(({ queue, kind }) => queue !== undefined && kind !== "core");
  const followed = queues.find(({ guest, queue }) => guest === touchedQueue?.guest && queue === touchedQueue?.queue);
  const queue = queues.find(({ name }) => name === chosen) ?? followed ?? queues[0]!;
  const guest = session.view.guests[queue.guest]!;
  const touched = touchedBy(session.current);
  return (
    <section class="pane fields" aria-label="Structures">
      <header>
        <h3>Structures</h3>
        <label class="note">
          <span class="visually-hidden">Queue</span>
          <select value={chosen} onChange={({ currentTarget }) => setChosen(currentTarget.value)}>
            <option value="">follow ({queue.name})</option>
            {queues.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </header>
      <div class="structs mono" tabIndex={0} role="group" aria-label={`Structures of ${queue.name}`}>
        {structsOf(queue).map(({ name, fields }) => (
          <table key={name}>
            <caption>{name}</caption>
            <tbody>
              {fields.map(([label, field]) => (
                <tr key={label} data-at={bytesAt(field.place)} class={touchOf(touched, field.place)}>
                  <th scope="row">{label}</th>
                  <td>{field.text}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ))}
        <Headers {...{ guest, queue }} />
        <Counters queue={queue} />
      </div>
    </section>
  );
}

function structsOf({ split, packed, device, name }: QueueView): Struct[] {
  const own: Struct = {
    name: `the switch's own: ${name}`,
    fields: [
      ["nextAvail", device.nextAvail],
      ["nextUsed", device.nextUsed],
    ],
  };
  if (split) {
    const { avail, used, descriptors } = split;
    const availRing = avail.ring.map((field, i) => [`ring[${i}]`, field] as const);
    const usedRing = used.ring.flatMap(
      ({ id, len }, i) =>
        [
          [`ring[${i}].id`, id],
          [`ring[${i}].len`, len],
        ] as const,
    );
    return [
      own,
      {
        name: "struct virtq_avail",
        fields: [["flags", avail.flags], ["idx", avail.idx], ...availRing, ["used_event", avail.usedEvent]],
      },
      {
        name: "struct virtq_used",
        fields: [["flags", used.flags], ["idx", used.idx], ...usedRing, ["avail_event", used.availEvent]],
      },
      ...descriptors
        .filter(({ len }) => len.value > 0)
        .map(({ index, addr, len, flags, next }) => ({
          name: `struct virtq_desc [${index}]`,
          fields: [
            ["addr", addr],
            ["len", len],
            ["flags", flags],
            ["next", next],
          ] as const,
        })),
    ];
  }
  const { descriptors, driverEvent, deviceEvent } = packed!;
  return [
    own,
    {
      name: "driver: struct pvirtq_event_suppress",
      fields: [
        ["desc", driverEvent.desc],
        ["flags", driverEvent.flags],
      ],
    },
    {
      name: "device: struct pvirtq_event_suppress",
      fields: [
        ["desc", deviceEvent.desc],
        ["flags", deviceEvent.flags],
      ],
    },
    ...descriptors
      .filter(({ len, flags }) => len.value > 0 || flags.value > 0)
      .map(({ index, addr, len, flags, next }) => ({
        name: `struct pvirtq_desc [${index}]`,
        fields: [
          ["addr", addr],
          ["len", len],
          ["id", next],
          ["flags", flags],
        ] as const,
      })),
  ];
}

/** struct virtio_net_hdr of what lies in the queue's buffers. */
function Headers({ guest, queue }: { guest: GuestView; queue: QueueView }) {
  const buffers = (queue.queue === "transmitq" ? guest.tx : guest.rx).filter(({ header }) => header);
  return (
    <>
      {buffers.map(({ place, header, frame, owner }) => (
        <table key={place.name} data-at={bytesAt({ address: place.address, length: 12 })}>
          <caption>
            {place.name}: struct virtio_net_hdr, {owner === "driver" ? "the driver's" : "the switch's"}
          </caption>
          <tbody>
            {Object.entries({
              flags: header!.flags ? "NEEDS_CSUM" : "0",
              gso_type: header!.gsoType,
              hdr_len: header!.headerLength,
              gso_size: header!.gsoSize,
              csum_start: header!.checksumStart,
              csum_offset: header!.checksumOffset,
              num_buffers: header!.buffers,
              frame: frame ?? "",
            }).map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </>
  );
}

function Counters({ queue }: { queue: QueueView }) {
  const { frames, bytes, calls, drops } = queue.counters;
  return (
    <table>
      <caption>counters of {queue.name}</caption>
      <tbody>
        {Object.entries({ frames, bytes, calls, ...drops }).map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name in drops ? `dropped: ${name}` : name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
