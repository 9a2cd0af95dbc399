/**
 * Load through proxies of the laboratory: lanes that each open a tunnel, ask the origin something in it,
 * and close it, one after the other, until they are told to stop. Odd lanes use CONNECT, even ones SOCKS5.
 *
 *     node tunnel-load.ts LANES ORIGIN-PORT ORIGINS TOKEN PROXY...
 */
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";

const [lanes, originPort, origins, token, ...proxies] = process.argv.slice(2);
const destinations = origins!.split(",");
const ending = new AbortController();
let wellCount = 0;
let failedCount = 0;

async function readUntil(socket: Socket, isEnough: (bytes: Buffer) => boolean): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (!isEnough(bytes)) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) bytes = Buffer.concat([bytes, chunk]);
    else if (socket.readableEnded || socket.destroyed) throw new Error("it has ended");
    else await Promise.race([once(socket, "readable"), once(socket, "close")]);
  }
  return bytes;
}

async function openByConnect(socket: Socket, to: string): Promise<void> {
  const credentials = Buffer.from(`pool=default:${token}`).toString("base64");
  socket.write(`CONNECT ${to} HTTP/1.1\r\nhost: ${to}\r\nproxy-authorization: Basic ${credentials}\r\n\r\n`);
  const answer = await readUntil(socket, (bytes) => bytes.includes("\r\n\r\n"));
  if (!answer.toString("latin1").startsWith("HTTP/1.1 200")) throw new Error("refused");
}

async function openBySocks(socket: Socket, to: string): Promise<void> {
  const [ip = "", port = ""] = to.split(":");
  const name = Buffer.from("pool=default");
  const password = Buffer.from(token!);
  socket.write(Buffer.from([5, 1, 2]));
  await readUntil(socket, (bytes) => bytes.length >= 2);
  // A password has 255 octets at most, so a longer token is the rest of the name.
  const login = [[1, name.length], name, [Math.min(255, password.length)], password.subarray(0, 255)];
  socket.write(Buffer.concat(login.map((part) => Buffer.from(part as Buffer))));
  const judged = await readUntil(socket, (bytes) => bytes.length >= 2);
  if (judged[1] !== 0) throw new Error("refused");
  const address = ip.split(".").map(Number);
  socket.write(Buffer.from([5, 1, 0, 1, ...address, Number(port) >> 8, Number(port) & 255]));
  const reply = await readUntil(socket, (bytes) => bytes.length >= 10);
  if (reply[1] !== 0) throw new Error("refused");
}

async function tunnel(lane: number, round: number): Promise<void> {
  const [host = "", port = ""] = proxies[(lane + round) % proxies.length]!.split(":");
  const to = `${destinations[round % destinations.length]}:${originPort}`;
  const socket = connect({ host, port: Number(port) });
  socket.on("error", () => {});
  try {
    await Promise.race([once(socket, "connect"), once(socket, "close")]);
    const isShort = token!.length <= 255;
    await (lane % 2 === 1 || !isShort ? openByConnect(socket, to) : openBySocks(socket, to));
    socket.write(`GET /seen HTTP/1.1\r\nhost: origin\r\nconnection: close\r\n\r\n`);
    await readUntil(socket, (bytes) => bytes.includes('"port"'));
    wellCount += 1;
  } catch {
    failedCount += 1;
    await delay(50);
  } finally {
    socket.destroy();
  }
}

async function runLane(lane: number): Promise<void> {
  for (let round = 0; !ending.signal.aborted; round += 1) {
    await tunnel(lane, round);
    await delay(20);
  }
}

const running = Array.from({ length: Number(lanes) }, (_none, at) => runLane(at));
console.log("ready");
await once(process.stdin, "data");
ending.abort();
await Promise.all(running);
console.log(JSON.stringify({ wellCount, failedCount }));
process.exit(0);
