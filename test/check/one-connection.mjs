// node one-connection.mjs SOCKET [--connect|--many] [FAULT]: a vhost-user back-end without a data path that writes that it
// starts, serves one connection and ends, or serves many. FAULT: "dies" at a request that does not exist, "stays" after its connection, "ends" at once.

import { existsSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";

const [path, ...words] = process.argv.slice(2);
const fault = words.find((word) => !word.startsWith("--"));
const REPLY_ACK = 8n;
const ANSWERS = { 1: (1n << 32n) | (1n << 30n), 15: REPLY_ACK };
const NEED_REPLY = 8;
const KNOWN = 45;

process.stderr.write("it starts\n");
if (fault === "ends") process.exit(3);

function serve(connection) {
  let bytes = Buffer.alloc(0);
  connection.on("data", (more) => {
    bytes = Buffer.concat([bytes, more]);
    while (bytes.length >= 12 && bytes.length >= 12 + bytes.readUInt32LE(8)) {
      const [request, flags] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
      bytes = bytes.subarray(12 + bytes.readUInt32LE(8));
      const known = request > 0 && request <= KNOWN;
      if (!known && fault === "dies") {
        process.stderr.write(`no request ${request} is known\n`);
        process.kill(process.pid, "SIGKILL");
      }
      const answer = ANSWERS[request] ?? ((flags & NEED_REPLY) !== 0 ? BigInt(!known) : undefined);
      if (answer === undefined) continue;
      const reply = Buffer.alloc(20);
      reply.writeUInt32LE(request, 0);
      reply.writeUInt32LE(5, 4);
      reply.writeUInt32LE(8, 8);
      reply.writeBigUInt64LE(answer, 12);
      connection.write(reply);
    }
  });
  connection.on("error", () => {});
  connection.on("close", () => {
    if (words.includes("--many")) return;
    if (fault === "stays") setInterval(() => {}, 1000);
    // Another one than 0, which is this program's own way to say that all went well.
    else process.exit(7);
  });
}

if (words.includes("--connect")) serve(connect(path));
else {
  if (existsSync(path)) rmSync(path);
  const server = createServer((connection) => {
    if (!words.includes("--many")) server.close();
    serve(connection);
  });
  server.listen(path);
}
