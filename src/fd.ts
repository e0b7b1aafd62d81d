// A leaf: everybody who handles descriptors has the same word for them.

/** A file descriptor number. Whoever holds the number owns the descriptor: handing the number over hands that over. */
export type Fd = number;
