// What the core says about a queue and about a frame it could not deliver.
// A leaf file: it imports nothing, because AssemblyScript and TypeScript both compile it.
// The texts an operator reads stand beside these numbers in src/core/causes.ts.

// Queue status. Anything but QUEUE_OK means: the guest broke the ring, the queue is stopped until it is set up again.
export const QUEUE_OK = 0;
/** avail.idx ran ahead by more than the ring has entries. */
export const QUEUE_BAD_AVAIL_INDEX = 1;
/** An avail ring entry names a descriptor that the table does not have. */
export const QUEUE_BAD_HEAD = 2;
/** A descriptor's next field lies outside its table. */
export const QUEUE_BAD_NEXT = 3;
/** A chain has more descriptors than the ring has entries: it loops. */
export const QUEUE_CHAIN_LOOP = 4;

// Drop causes. A frame that is taken from a transmitq and not delivered is counted under exactly one of them;
// an index into Queue.drops.
/** Destination has no free receive buffers (its guest is slow). Counted on the receiveq. */
export const DROP_NO_RX_BUFFER = 0;
/** The receive buffer chain is smaller than the frame, and buffers may not be merged. Counted on the receiveq. */
export const DROP_RX_BUFFER_TOO_SMALL = 1;
/** The receive buffer chain is malformed (address, direction, indirect table). Counted on the receiveq. */
export const DROP_RX_CHAIN_BAD = 2;
/** The destination port has no running receiveq. Counted on the transmitq. */
export const DROP_PORT_DOWN = 3;
/** The destination is the port the frame came from. Counted on the transmitq. */
export const DROP_HAIRPIN = 4;
/** No other port is there to take a flooded frame. Counted on the transmitq. */
export const DROP_NO_PORT = 5;
/** Shorter than the virtio_net header plus an Ethernet header. Counted on the transmitq. */
export const DROP_TX_RUNT = 6;
/** Longer than the longest frame the switch carries. Counted on the transmitq. */
export const DROP_TX_OVERSIZE = 7;
/** A buffer of the chain lies outside the guest's memory regions. Counted on the transmitq. */
export const DROP_TX_ADDRESS = 8;
/** A chain has a device-writable descriptor where only readable ones may be. Counted on the transmitq. */
export const DROP_TX_DIRECTION = 9;
/** A malformed indirect table. Counted on the transmitq. */
export const DROP_TX_INDIRECT = 10;
/** The transmitq is disabled (SET_VRING_ENABLE 0): its frames are taken and discarded. Counted on the transmitq. */
export const DROP_DISABLED = 11;
/** The source MAC address is a group address or zero. Counted on the transmitq. */
export const DROP_BAD_SOURCE = 12;
/** Sent to 01:80:c2:00:00:0X, which bridges keep to themselves (IEEE 802.1Q table 8-1). Counted on the transmitq. */
export const DROP_RESERVED = 13;
/** Its virtio_net header asks for what was not negotiated or makes no sense for it. Counted on the transmitq. */
export const DROP_TX_OFFLOAD = 14;
/**
 * The buffer lies in a region that is not mapped whole, and no window could be had for it: the frame is in more chunks
 * than a worker's pool holds, or the kernel would not map one. Counted on the queue whose buffer it is.
 */
export const DROP_WINDOW = 15;
/** Longer than the MTU that the receiving driver has agreed to (virtio 1.3, 5.1.4.1). Counted on the receiveq. */
export const DROP_MTU = 16;
/** Nobody has said yet where the receive buffer's I/O virtual address lies (IOTLB). Counted on the receiveq. */
export const DROP_TRANSLATION = 17;
/** The port is administratively down. Counted on its own transmitq, and on that of who sends to it. */
export const DROP_ADMIN_DOWN = 18;
export const DROP_CAUSES = 19;
