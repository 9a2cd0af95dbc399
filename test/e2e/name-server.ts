/**
 * A name server for tests: answers A and AAAA queries from a table, NXDOMAIN for the rest,
 * and nothing at all for names under `silent.test`. Names under `late.test` have their answer after
 * a while.
 */
import { createSocket, type Socket } from "node:dgram";
import ipaddr from "ipaddr.js";

/** Longer than it takes to fill the buffers of a connection. */
const LATE_MS = 100;
const TYPE_A = 1;
const TYPE_AAAA = 28;

/** Starts on a free loopback port, or at a place; `records` maps names to addresses of both families. */
export async function startNameServer(
  records: Readonly<Record<string, readonly string[]>>,
  { ip, port } = { ip: "127.0.0.1", port: 0 },
): Promise<{ readonly address: string; readonly close: () => void }> {
  const socket: Socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const name = questionName(query);
    if (name.endsWith("silent.test")) return;
    const reply = answer(query, name, records[name]);
    const send = (): void => socket.send(reply, from.port, from.address, () => {});
    if (name.endsWith("late.test")) setTimeout(send, LATE_MS).unref();
    else send();
  });
  await new Promise<void>((resolve) => {
    socket.bind(port, ip, resolve);
  });
  return { address: `${ip}:${socket.address().port}`, close: () => socket.close() };
}

/** The reply that gives a query's name these addresses. */
export function answerTo(query: Buffer, addresses: readonly string[]): Buffer {
  return answer(query, questionName(query), addresses);
}

function questionName(query: Buffer): string {
  const labels: string[] = [];
  let at = 12;
  while (query[at] !== 0 && at < query.length) {
    const length = query[at]!;
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return labels.join(".").toLowerCase();
}

function answer(query: Buffer, name: string, addresses: readonly string[] | undefined): Buffer {
  const questionEnd = 12 + name.length + 2 + 4;
  const type = query.readUInt16BE(questionEnd - 4);
  const found = (addresses ?? []).filter((address) => typeOf(address) === type);
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  const isKnown = addresses !== undefined && (type === TYPE_A || type === TYPE_AAAA);
  header.writeUInt16BE(0x8180 | (isKnown ? 0 : 3), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(found.length, 6);
  const records = found.map((address) => {
    const bytes = ipaddr.parse(address).toByteArray();
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(30, 6);
    record.writeUInt16BE(bytes.length, 10);
    return Buffer.concat([record, Buffer.from(bytes)]);
  });
  return Buffer.concat([header, query.subarray(12, questionEnd), ...records]);
}

function typeOf(address: string): number {
  return address.includes(":") ? TYPE_AAAA : TYPE_A;
}
