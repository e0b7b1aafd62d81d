// The command line of what passes through a switch: frames and messages, to be looked at or sent again.

import { type Command, Option } from "commander";
import type { CaptureFlags } from "./capture.js";
import { positiveInteger, positiveNumber } from "./option-values.js";
import type { ProgramParts } from "./program-parts.js";
import type { ReplayFlags } from "./replay.js";

export function addCaptureCommands(program: Command, { io, perform, control }: ProgramParts): void {
  program
    .command("capture")
    .description("show the frames that pass ports of a running switch, or write them as pcapng")
    .argument("<port...>", "the ports")
    .option(
      "-w, --write <file>",
      'write pcapng there; "-" is standard output: ringbridge capture vm1 -w - | tshark -r -',
    )
    .option("-s, --snaplen <bytes>", "keep so many bytes of each frame (default: all)", positiveInteger)
    .option("-c, --count <n>", "end after so many frames", positiveInteger)
    .option("--seconds <n>", "end after this time", positiveNumber)
    .option("-f, --filter <expression>", 'only frames such as "arp or tcp port 80" (docs/CAPTURE.md)')
    .action((ports: string[], options: CaptureFlags) =>
      perform(async () => {
        const { captureCommand } = await import("./capture.js");
        return captureCommand({ ...options, ports, control: control() }, io);
      }),
    );

  program
    .command("replay")
    .description(
      "send the frames of a capture file (pcap or pcapng) into a running switch, in the place of a port's guest",
    )
    .argument("<file>", '"-" is standard input')
    .requiredOption("-p, --port <name>", "the port that they come from; no guest may be attached there")
    .option("--to <name>", "to the guest of this port, whatever addresses they have")
    .option("--speed <x>", "so many times as fast as they were captured (default: 1)", positiveNumber)
    .option("--rate <n>", "so many frames in a second", positiveNumber)
    .option("--topspeed", "as fast as the switch takes them")
    .option("--loop <n>", "send the file so many times", positiveInteger)
    .addOption(
      new Option("--direction <direction>", "only frames that this capture has marked so; unmarked ones always go")
        .choices(["in", "out", "all"])
        .default("in"),
    )
    .option("--interface <name>", "only frames of this interface of the file")
    .option("-f, --filter <expression>", "only frames that match (docs/CAPTURE.md)")
    .action((file: string, options: ReplayFlags) =>
      perform(async () => {
        const { replayCommand } = await import("./replay.js");
        return replayCommand({ ...options, file, control: control() }, io);
      }),
    );

  program
    .command("transcript")
    .description("show what ringbridge run --record has written of one connection")
    .argument("<file.jsonl>")
    .option("--no-effects", "only the messages")
    .action((file: string, options: { effects: boolean }) =>
      perform(async () => {
        const { transcriptCommand } = await import("./transcript.js");
        return transcriptCommand({ file, ...options }, io);
      }),
    );
}
