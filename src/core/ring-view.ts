// A virtqueue as plain data, for whoever shows one: what lies in its memory at one moment, and how far the device is.
// Everything in it but `size`, `device` and what was negotiated is the guest's, and may be anything.

/** A descriptor of a split ring's table (virtio 1.3, 2.7.5). Addresses are the guest's, as "0x…". */
export interface SplitDescriptorView {
  index: number;
  address: string;
  length: number;
  flags: number;
  next: number;
}

/** One position of the avail and the used ring, which are as long as the table (2.7.6, 2.7.8). */
export interface SplitEntryView {
  position: number;
  /** Head of the chain that the driver put there. */
  head: number;
  /** What the device put there. */
  usedId: number;
  usedLength: number;
}

export interface SplitRingView {
  kind: "split";
  size: number;
  /** Free-running 16-bit indices, as they stand in memory. */
  availIndex: number;
  usedIndex: number;
  /** Of the switch: the next avail entry that it takes, and the next used entry that it writes. */
  device: { nextAvail: number; nextUsed: number };
  availFlags: number;
  usedFlags: number;
  /** VIRTIO_F_EVENT_IDX: at which index the driver wants a call, and the device a kick. Absent without it. */
  usedEvent?: number;
  availEvent?: number;
  /** All positions, or a window of them around the device's place when the ring is long. */
  entries: SplitEntryView[];
  /** The whole table, or the chains of the window's heads. */
  descriptors: SplitDescriptorView[];
  /** By how many entries the device went on while this was read: so many of them may be of before or of after. */
  movedBy: number;
}

/** One position of a packed ring (2.8.13). */
export interface PackedEntryView {
  position: number;
  address: string;
  length: number;
  id: number;
  flags: number;
}

/** An event suppression area (2.8.14). */
export interface EventAreaView {
  /** RING_EVENT_FLAGS_*: 0 enable, 1 disable, 2 at a descriptor. */
  flags: number;
  position: number;
  wrap: number;
}

export interface PackedRingView {
  kind: "packed";
  size: number;
  /** Of the switch: the descriptor that it looks at next. */
  device: { position: number; wrap: number };
  driverArea: EventAreaView;
  deviceArea: EventAreaView;
  entries: PackedEntryView[];
  movedBy: number;
}

export type RingView = SplitRingView | PackedRingView;
