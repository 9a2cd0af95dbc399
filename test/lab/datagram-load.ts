/**
 * Load of datagrams through proxies of the laboratory: lanes that each open an association of SOCKS5, ask the
 * origins something over it, and close it, one after the other, until they are told to stop.
 *
 *     node datagram-load.ts LANES ORIGIN-PORT TOKEN PROXY-PORT PROXY,... FROM=ORIGIN,... FROM=ORIGIN,...
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { datagramTo } from "../spellings/ways.ts";

const [lanes, originPort, token = "", proxyPort, proxies = "", ...selections] = process.argv.slice(2);
const hosts = proxies.split(",");
const ending = new AbortController();
const PAUSE_MS = 20;
const PATIENCE_MS = 1_000;
/** Of a token, in a user name; the rest is the password. */
const TOKEN_PART = 180;
let wellCount = 0;

/** The relay of a new association. */
async function associate(control: Socket, from: string): Promise<{ ip: string; port: number }> {
  const user = Buffer.from(`ip=${from},token=${token.slice(0, TOKEN_PART)}`);
  const password = Buffer.from(token.slice(TOKEN_PART));
  const login = [1, user.length, ...user, password.length, ...password];
  control.write(Buffer.from([5, 1, 2, ...login, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0]));
  let said = Buffer.alloc(0);
  while (said.length < 14) {
    const heard = await Promise.race([once(control, "data"), once(control, "close")]);
    if (!Buffer.isBuffer(heard[0])) throw new Error("refused");
    said = Buffer.concat([said, heard[0]]);
  }
  return { ip: said.subarray(8, 12).join("."), port: said.readUInt16BE(12) };
}

async function ask(lane: number, round: number): Promise<void> {
  const [from = "", origins = ""] = selections[(lane + round) % selections.length]!.split("=");
  const control = connect(Number(proxyPort), hosts[(lane + round) % hosts.length]);
  control.on("error", () => {});
  const socket = createSocket("udp4");
  try {
    const relay = await associate(control, from);
    for (const origin of origins.split(",")) {
      socket.send(datagramTo(origin, Number(originPort), `${lane} ${round}`), relay.port, relay.ip);
      const heard = await Promise.race([
        once(socket, "message"),
        once(AbortSignal.timeout(PATIENCE_MS), "abort"),
      ]);
      if (Buffer.isBuffer(heard[0])) wellCount += 1;
    }
  } catch {
    // The host has no ports, or is gone: another has its turn.
    await delay(PAUSE_MS);
  } finally {
    socket.close();
    control.destroy();
  }
}

async function runLane(lane: number): Promise<void> {
  for (let round = 0; !ending.signal.aborted; round += 1) {
    await ask(lane, round);
    await delay(PAUSE_MS);
  }
}

const running = Array.from({ length: Number(lanes) }, (_none, at) => runLane(at));
console.log("ready");
await once(process.stdin, "data");
ending.abort();
await Promise.all(running);
console.log(JSON.stringify({ wellCount }));
process.exit(0);
