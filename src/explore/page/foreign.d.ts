// Names that code shared with the host uses where a page never comes: no types of Node's for the rest.

declare function setImmediate(work: (value: unknown) => void): unknown;
