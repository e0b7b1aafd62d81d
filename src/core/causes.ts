// The words for the numbers of assembly/spec/status.ts: what a drop cause and a broken queue mean to an operator.

import {
  DROP_ADMIN_DOWN,
  DROP_BAD_SOURCE,
  DROP_CAUSES,
  DROP_DISABLED,
  DROP_HAIRPIN,
  DROP_MTU,
  DROP_NO_PORT,
  DROP_NO_RX_BUFFER,
  DROP_PORT_DOWN,
  DROP_RESERVED,
  DROP_RX_BUFFER_TOO_SMALL,
  DROP_RX_CHAIN_BAD,
  DROP_TRANSLATION,
  DROP_TX_ADDRESS,
  DROP_TX_DIRECTION,
  DROP_TX_INDIRECT,
  DROP_TX_OFFLOAD,
  DROP_TX_OVERSIZE,
  DROP_TX_RUNT,
  DROP_WINDOW,
  QUEUE_BAD_AVAIL_INDEX,
  QUEUE_BAD_HEAD,
  QUEUE_BAD_NEXT,
  QUEUE_CHAIN_LOOP,
  QUEUE_OK,
} from "../../assembly/spec/status.js";

/** A reason for which a frame was not delivered. */
export interface DropCause {
  /** Key in the status document, kebab-case. */
  name: string;
  /** What happened, in one sentence. */
  explanation: string;
  /** What an operator can do about it, in one sentence. */
  hint: string;
}

const CAUSES: Record<number, DropCause> = {
  [DROP_NO_RX_BUFFER]: {
    name: "no-rx-buffer",
    explanation: "The receiving guest had no free receive buffer.",
    hint: "It takes frames more slowly than they come: give it a longer queue (rx_queue_size), more queues or CPU.",
  },
  [DROP_RX_BUFFER_TOO_SMALL]: {
    name: "rx-buffer-too-small",
    explanation: "The frame is longer than the receiving guest's buffer, and its driver did not accept merged buffers.",
    hint: "Use the same MTU in all guests, or a driver with mergeable buffers (QEMU: mrg_rxbuf=on).",
  },
  [DROP_RX_CHAIN_BAD]: {
    name: "rx-chain-bad",
    explanation: "The receiving guest's driver gave a malformed buffer: a bad address, direction or indirect table.",
    hint: "That guest's driver is faulty, or its memory changed under it: restart the guest.",
  },
  [DROP_PORT_DOWN]: {
    name: "port-down",
    explanation: "The destination's port has no running receive queue.",
    hint: "Normal while that guest boots or stops; otherwise bring up its network interface.",
  },
  [DROP_HAIRPIN]: {
    name: "hairpin",
    explanation: "The destination address lies behind the port that the frame came from.",
    hint: "Normal behind a guest that bridges; a switch never sends a frame back where it came from.",
  },
  [DROP_NO_PORT]: {
    name: "no-port",
    explanation: "There was no other port to flood the frame to.",
    hint: "Normal until a second guest is up.",
  },
  [DROP_TX_RUNT]: {
    name: "tx-runt",
    explanation: "The frame is shorter than a virtio_net header and an Ethernet header together.",
    hint: "The sending guest's driver is faulty, or does not agree with the switch on the header's length.",
  },
  [DROP_TX_OVERSIZE]: {
    name: "tx-oversize",
    explanation: "The frame is longer, or in more pieces, than the switch carries.",
    hint: "Lower the MTU or the segmentation size (gso_max_size) in the sending guest.",
  },
  [DROP_TX_ADDRESS]: {
    name: "tx-address",
    explanation: "A buffer of the frame lies outside the memory that the front-end has shared.",
    hint: "Give the guest shared memory for all of its RAM (QEMU: memory-backend-memfd,share=on).",
  },
  [DROP_TX_DIRECTION]: {
    name: "tx-direction",
    explanation: "A frame to be sent has a descriptor that only the device may write.",
    hint: "The sending guest's driver is faulty: update it.",
  },
  [DROP_TX_INDIRECT]: {
    name: "tx-indirect",
    explanation: "The frame's indirect descriptor table is malformed.",
    hint: "The sending guest's driver is faulty: update it, or turn indirect descriptors off (indirect_desc=off).",
  },
  [DROP_DISABLED]: {
    name: "disabled",
    explanation: "The transmit queue is disabled by its front-end, so what it sends is discarded.",
    hint: "Normal while a guest boots or migrates, and for queues it does not use (ethtool -l).",
  },
  [DROP_BAD_SOURCE]: {
    name: "bad-source",
    explanation: "The frame's source address is a group address or zero, which no station can have.",
    hint: "Find the program in the sending guest that makes such frames: capture there with tcpdump.",
  },
  [DROP_RESERVED]: {
    name: "reserved",
    explanation:
      "The frame is for a bridge itself (01:80:c2:00:00:0X: spanning tree, LLDP, pause) and is never forwarded.",
    hint: "Normal; turn the protocol off in the guest to be rid of the count.",
  },
  [DROP_TX_OFFLOAD]: {
    name: "tx-offload",
    explanation: "The frame asks for a checksum or segmentation that was not negotiated or makes no sense for it.",
    hint: "The sending guest's driver is faulty: update it, or turn its offloads off (offloads: false on its port).",
  },
  [DROP_WINDOW]: {
    name: "window",
    explanation: "A buffer's part of a guest too large to be mapped whole could not be mapped when it was needed.",
    hint: "The guest spreads one frame over too much of its memory, or the kernel has no huge pages or mappings left (vm.nr_hugepages, vm.max_map_count).",
  },
  [DROP_MTU]: {
    name: "mtu",
    explanation: "The frame is longer than the MTU of the receiving guest's network card (host_mtu).",
    hint: "Use the same MTU in all guests of a network; a guest with a larger one is not told by a switch.",
  },
  [DROP_TRANSLATION]: {
    name: "translation",
    explanation: "The receiving guest's buffer lies behind its virtual IOMMU, which had not said yet where.",
    hint: "Normal for the first frames; for more of them keep buffers mapped in that guest (iommu=pt, iommu.strict=0).",
  },
  [DROP_ADMIN_DOWN]: {
    name: "admin-down",
    explanation:
      "The frame came from, or was for, a port that the operator has put out of use (admin-state-up: false).",
    hint: "Set admin-state-up to true where the port comes from: its guest is still attached and goes on at once.",
  },
};

/** Every drop cause; the index is the number of spec/status.ts. */
export const DROP_CAUSE_TEXTS: readonly DropCause[] = Array.from({ length: DROP_CAUSES }, (_, cause) => CAUSES[cause]!);

/** Keys of the drop causes in the status document; the index is the number of spec/status.ts. */
export const DROP_CAUSE_NAMES: readonly string[] = DROP_CAUSE_TEXTS.map(({ name }) => name);

/** The texts of a drop cause by its key; undefined for a key that this version does not know. */
export function dropCause(name: string): DropCause | undefined {
  return DROP_CAUSE_TEXTS.find((cause) => cause.name === name);
}

const QUEUE_STATUS: Record<number, string> = {
  [QUEUE_OK]: "the ring is in order",
  [QUEUE_BAD_AVAIL_INDEX]: "the guest's avail index ran ahead by more entries than the ring has",
  [QUEUE_BAD_HEAD]: "the guest's avail ring names a descriptor that the table does not have",
  [QUEUE_BAD_NEXT]: "a descriptor of the guest points on to one outside of its table",
  [QUEUE_CHAIN_LOOP]: "a descriptor chain of the guest is longer than its ring: it loops",
};

/** Why a queue stopped, as a sentence without its full stop; also for a number that this version does not know. */
export function queueStatusText(status: number): string {
  return QUEUE_STATUS[status] ?? `the ring is broken in a way this version has no words for (status ${status})`;
}
