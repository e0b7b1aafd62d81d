// Files as a source may find them: of any kind, of any length, gone a moment later.

import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** Many times what a port takes. */
export const PORT_FILE_MAX = 256 * 1024;

/** The file cannot be used as it is; the message is the end of a sentence that begins with its name. */
export class UnreadableFile extends Error {}

/** A file's text, and what tells whether it is still the same. */
export interface ReadText {
  text: string;
  /** Of the file as it was read; undefined when it was changed so lately that the next change could look the same. */
  stamp: string | undefined;
}

/** A file system may give two changes within this time the same stamp. */
const SAME_STAMP_MS = 100;

/**
 * Reads a regular file.
 * @param most bytes, beyond which it is refused unread
 * @param stamp of the time before: undefined is the answer when it is the same still
 * @throws UnreadableFile
 */
export async function readText(path: string, most: number, stamp?: string): Promise<ReadText | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    // A FIFO without a writer would be waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new UnreadableFile(`cannot be read: ${(error as Error).message}`);
  }
  try {
    const stat = await file.stat({ bigint: true });
    if (!stat.isFile()) throw new UnreadableFile("is no file: put a file with one port there");
    if (stat.size > most) throw new UnreadableFile(`has ${stat.size} bytes, more than the ${most} that are read`);
    const now = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(":");
    if (stamp === now) return undefined;
    const fresh = Date.now() - Number(stat.ctimeMs) < SAME_STAMP_MS;
    return { text: await file.readFile("utf8"), stamp: fresh ? undefined : now };
  } catch (error) {
    if (error instanceof UnreadableFile) throw error;
    throw new UnreadableFile(`cannot be read: ${(error as Error).message}`);
  } finally {
    await file.close();
  }
}
