/**
 * A client of SOCKS5's UDP in the laboratory that selects and shows a token, which PySocks has no room
 * for: it asks one place after the other over one association, and prints what each said.
 *
 *     node udp-client.ts PROXY PROXY_PORT USER PASSWORD PAYLOAD_BYTES ADDRESS:PORT ...
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { datagramHeader, readDatagram } from "../../src/agent/traffic/socks/udp-datagram.ts";

const TRIES = 5;
const [proxy = "", proxyPort = "", user = "", password = "", payloadBytes = "", ...places] =
  process.argv.slice(2);

const control = connect(Number(proxyPort), proxy);
const login = [1, user.length, ...Buffer.from(user), password.length, ...Buffer.from(password)];
control.write(Buffer.from([5, 1, 2, ...login, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0]));
let said = Buffer.alloc(0);
while (said.length < 14) said = Buffer.concat([said, ...((await once(control, "data")) as Buffer[])]);
if (said[5] !== 0) throw new Error(`refused: ${said[5]}`);
const relay = { ip: said.subarray(8, 12).join("."), port: said.readUInt16BE(12) };

const socket = createSocket("udp4");
const answers: unknown[] = [];
for (const [at, place] of places.entries()) {
  const colonAt = place.lastIndexOf(":");
  const text = `question ${at} `;
  const header = datagramHeader(place.slice(0, colonAt), Number(place.slice(colonAt + 1)));
  answers.push(await ask(Buffer.concat([header, Buffer.from(text.padEnd(Number(payloadBytes), "."))]), text));
}
console.log(JSON.stringify(answers));
socket.close();
control.destroy();

/** What is answered, as source address, source port and text; asked again a few times, as UDP has it. */
async function ask(question: Buffer, text: string): Promise<readonly [string, number, string] | null> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    socket.send(question, relay.port, relay.ip);
    const heard = await Promise.race([once(socket, "message"), once(AbortSignal.timeout(1_000), "abort")]);
    if (!Buffer.isBuffer(heard[0])) continue;
    const read = readDatagram(heard[0]);
    if (!read.ok) throw new Error(read.refusal);
    const { host, port, payload } = read.value;
    const answer = payload.toString("latin1").replace(/\.+$/, "");
    if (answer.endsWith(text)) return [host, port, answer];
  }
  return null;
}
