/**
 * A name server of the laboratory: every name is that of the first origin, in both families.
 *
 *     node name-server.ts ADDRESS PORT
 */
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { ORIGINS_IPV4, ORIGINS_IPV6 } from "./plan.ts";

const HEAD_BYTES = 12;
const ADDRESSES: Readonly<Record<number, string>> = { 1: ORIGINS_IPV4[0], 28: ORIGINS_IPV6[0] };

const [address, port] = process.argv.slice(2);
const socket = createSocket(isIPv6(address!) ? "udp6" : "udp4");
socket.on("message", (query, from) => socket.send(answerTo(query), from.port, from.address));
socket.bind(Number(port), address, () => console.log("listening"));

/** The question once more, and one address behind it if its type is that of an address. */
function answerTo(query: Buffer): Buffer {
  const nameEnd = query.indexOf(0, HEAD_BYTES) + 1;
  const question = query.subarray(HEAD_BYTES, nameEnd + 4);
  const type = query.readUInt16BE(nameEnd);
  const found = ADDRESSES[type];
  const head = Buffer.alloc(HEAD_BYTES);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 4);
  if (found === undefined) return Buffer.concat([head, question]);
  head.writeUInt16BE(1, 6);
  const bytes = Buffer.from(ipaddr.parse(found).toByteArray());
  // The name is that of the question; an address of the Internet, good for half a minute.
  const record = Buffer.from([0xc0, HEAD_BYTES, 0, type, 0, 1, 0, 0, 0, 30, 0, bytes.length]);
  return Buffer.concat([head, question, record, bytes]);
}
