// Builders of frames, and what reads them.

export { BROADCAST, ip4Bytes, ip6Bytes, macBytes, macText, type Station } from "./address.js";
export { arpReply, arpRequest } from "./arp.js";
export { describeFrame } from "./describe.js";
export { ETHERNET_MIN, type EthernetOptions, ethernet, type Payload, type VlanTag, vlan } from "./ethernet.js";
export { type IpOptions, ipPacket } from "./ip.js";
export { type Layers, layersOf, leaveToDevice, type OffloadedFrame, wrongChecksums } from "./read.js";
export { type EchoOptions, icmpEcho, type PortOptions, type TcpFlag, type TcpOptions, tcp, udp } from "./transport.js";
