// Queue.offloads and Frame.needs: what a driver may ask of the switch with a frame, what another can take itself.
// A leaf file: it imports nothing, because AssemblyScript and TypeScript both compile it.
// For a transmitq the bits come from CSUM and HOST_*, for a receiveq from GUEST_CSUM and GUEST_* (virtio 1.3, 5.1.3).

/** A frame whose checksum is only begun: the sum of its pseudo header stands in its place. */
export const OFFLOAD_CSUM = 1;
/** TCP segmentation over IPv4 and IPv6, and of segments that carry CWR. */
export const OFFLOAD_TSO4 = 2;
export const OFFLOAD_TSO6 = 4;
export const OFFLOAD_ECN = 8;
/** UDP fragmentation: one datagram, to be sent as IP fragments. */
export const OFFLOAD_UFO = 16;
/** UDP segmentation: many datagrams in one, over IPv4 and IPv6. */
export const OFFLOAD_USO4 = 32;
export const OFFLOAD_USO6 = 64;
/** All that stand for a frame longer than what goes over a wire; each needs OFFLOAD_CSUM too. */
export const OFFLOAD_GSO = 126;
