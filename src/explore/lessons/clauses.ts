// Titles of the clauses of virtio 1.3 that the sources and the lessons name.

const TITLES: Readonly<Record<string, string>> = {
  "2.7": "Split virtqueues",
  "2.7.4": "Message framing",
  "2.7.5": "The virtqueue descriptor table",
  "2.7.5.3": "Indirect descriptors",
  "2.7.6": "The virtqueue available ring",
  "2.7.7": "Used buffer notification suppression",
  "2.7.8": "The virtqueue used ring",
  "2.7.10": "Available buffer notification suppression",
  "2.7.13": "Supplying buffers to the device",
  "2.7.13.1": "Placing buffers into the descriptor table",
  "2.7.13.2": "Updating the available ring",
  "2.7.13.3": "Updating idx",
  "2.7.13.4": "Notifying the device",
  "2.7.14": "Receiving used buffers from the device",
  "2.8": "Packed virtqueues",
  "2.8.1": "Driver and device ring wrap counters",
  "2.8.2": "Polling of available and used descriptors",
  "2.8.3": "Write flag",
  "2.8.4": "Element address and length",
  "2.8.5": "Scatter-gather support",
  "2.8.6": "Next flag: descriptor chaining",
  "2.8.7": "Indirect flag: scatter-gather support",
  "2.8.10": "Driver and device event suppression",
  "2.8.21": "Supplying buffers to the device",
  "5.1.3": "Feature bits of the network device",
  "5.1.4": "Device configuration layout",
  "5.1.6": "Device operation",
  "5.1.6.2": "Packet transmission",
  "5.1.6.3": "Setting up receive buffers",
  "5.1.6.4": "Processing of incoming packets",
};

const SPECIFICATION = "https://docs.oasis-open.org/virtio/virtio/v1.3/virtio-v1.3.html";

/** The title of a clause, or of the nearest one above it that has one here. */
export function clauseTitle(clause: string): string {
  for (let name = clause; name.includes("."); name = name.slice(0, name.lastIndexOf("."))) {
    const title = TITLES[name];
    if (title !== undefined) return title;
  }
  return "";
}

/** Where the specification is; it has no anchors that are known to stay. */
export function clauseUrl(_clause: string): string {
  return SPECIFICATION;
}
