// The host's end of a guest's command channel (initramfs.ts has the guest's end and the protocol), for a guest that
// something else than guest.ts starts: libvirt, or a command line from the README.
import { createServer, type Socket } from "node:net";
import { type Child, waitFor } from "./process.js";
import { repliesIn } from "./traffic.js";

/** A unix socket to which QEMU connects the guest's virtio-serial port. */
export interface Channel {
  /** Waits until the guest's init takes commands. Throws at once when one of `needed` has ended. */
  booted(needed: readonly Child[], limitMs?: number): Promise<void>;
  /** Runs a shell command line; returns stdout and stderr together. Throws when its status is not 0 or time is over. */
  must(command: string, limitMs?: number): Promise<string>;
  /** How many replies came to `count` pings, 50 ms apart; the guest waits up to 10 s for the last ones. */
  ping(ip: string, count: number): Promise<number>;
}

/** Listens at `path` for the guest `name`. Call it before QEMU starts, so that nothing the guest says is lost. */
export async function openChannel(name: string, path: string): Promise<Channel> {
  let socket: Socket | undefined;
  let text = "";
  let commands = 0;
  const server = createServer((connection) => {
    socket = connection;
    server.close();
    connection.setEncoding("utf8");
    connection.on("error", () => connection.destroy());
    connection.on("data", (piece: string) => {
      text += piece;
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));

  /** The exit status and output of a command that the guest itself ends after `limitMs`. */
  const run = async (command: string, limitMs: number): Promise<{ status: number; output: string }> => {
    const id = `c${++commands}`;
    const end = new RegExp(`^(.*)\\n@@end ${id} (\\d+)\\n`, "s");
    text = "";
    socket?.write(`${id} ${Math.ceil(limitMs / 1000)} ${command}\n`);
    const what = `the end of \`${command}\` in guest ${name}`;
    const [, output, status] = await waitFor(what, limitMs + 5000, () => end.exec(text) ?? undefined);
    return { status: Number(status), output: output! };
  };

  return {
    async booted(needed, limitMs = 120_000) {
      await waitFor(`guest ${name} to boot`, limitMs, () => /@@ready \S+\n/.test(text), needed);
    },
    async must(command, limitMs = 30_000) {
      const { status, output } = await run(command, limitMs);
      if (status !== 0) throw new Error(`\`${command}\` in guest ${name} ended with status ${status}:\n${output}`);
      return output;
    },
    async ping(ip, count) {
      return repliesIn((await run(`ping -q -c ${count} -i 0.05 ${ip}`, 30_000 + count * 50)).output);
    },
  };
}
