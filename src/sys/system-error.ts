// The two errors of this folder: the kernel refused a call, or this machine has no kernel we can call.
//
// Imports nothing, so that code which only wants to recognise these errors loads anywhere (a browser, macOS).

const EWOULDBLOCK = "EWOULDBLOCK"; // On Linux another name of EAGAIN: errors carry the common one.

let names: Map<number, string> | undefined;

/** The symbolic name of an errno of this machine: 111 → "ECONNREFUSED"; "E<number>" when it has none. */
export function errnoName(errno: number): string {
  if (names === undefined) {
    names = new Map();
    for (const [name, number] of Object.entries(process.getBuiltinModule("node:os").constants.errno)) {
      if (name !== EWOULDBLOCK) names.set(number, name);
    }
  }
  return names.get(errno) ?? `E${errno}`;
}

/** A sentence fragment for an errno ("connection refused"), undefined when Node knows none. */
function errnoText(errno: number): string | undefined {
  const [name, text] = process.getBuiltinModule("node:util").getSystemErrorMap().get(-errno) ?? [];
  // The map also has numbers of Node's own beyond the kernel's.
  return name === errnoName(errno) ? text : undefined;
}

/** A system call that failed. Compare `code` ("ECONNREFUSED", "EAGAIN", …), never the message. */
export class SystemError extends Error {
  readonly code: string;

  /**
   * @param syscall the function that failed, as in the manual: "connect"
   * @param errno positive errno
   * @param path the file or socket path it was about, where there is one
   * @param detail what the reader should know or do beyond the kernel's own words
   */
  constructor(
    readonly syscall: string,
    readonly errno: number,
    readonly path?: string,
    detail?: string,
  ) {
    const code = errnoName(errno);
    const text = errnoText(errno);
    const subject = path === undefined ? syscall : `${syscall} ${path}`;
    super(`${subject}: ${text === undefined ? code : `${text} (${code})`}${detail === undefined ? "" : `: ${detail}`}`);
    this.name = "SystemError";
    this.code = code;
  }
}

/** True when `error` is a SystemError with one of the codes given. */
export function isSystemError(error: unknown, ...codes: string[]): error is SystemError {
  return error instanceof SystemError && codes.includes(error.code);
}

/** This machine cannot run what was asked: the message is a sentence that says what is missing and what to do. */
export class SystemUnavailable extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "SystemUnavailable";
  }
}
