/**
 * A program that calls out from chosen addresses and ports, as told line by line on its input;
 * each line is answered by one. Addresses are written as `IP PORT`.
 *
 *     connect FROM TO          connects, says what the origin greets with, and keeps the connection
 *     upload FROM TO BYTES     connects, sends so many bytes, says how many the origin received
 *     send FROM TO COUNT BYTES sends so many datagrams of UDP; says how many the kernel let go
 *     ask FROM TO              sends one datagram, says the answer
 *     close                    ends all kept connections
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, isIPv6, type Socket } from "node:net";
import { createInterface } from "node:readline";

interface End {
  readonly ip: string;
  readonly port: number;
}

const kept = new Set<Socket>();

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, fromIp, fromPort, toIp, toPort, ...rest] = line.split(" ");
  const from = { ip: fromIp!, port: Number(fromPort) };
  const to = { ip: toIp!, port: Number(toPort) };
  // Not awaited: a call that gets no answer must not keep the next from being made.
  run(verb!, from, to, rest.map(Number)).then(console.log, (fault: NodeJS.ErrnoException) =>
    console.log(`error ${fault.code ?? fault.message}`),
  );
}

async function run(verb: string, from: End, to: End, [first, second]: readonly number[]): Promise<string> {
  switch (verb) {
    case "connect":
      return `ok ${await greeting(await open(from, to))}`;
    case "upload":
      return `ok ${await upload(from, to, first!)}`;
    case "send":
      return `ok ${await send(from, to, first!, second!)}`;
    case "ask":
      return `ok ${await ask(from, to)}`;
    case "close":
      for (const socket of kept) socket.destroy();
      return "ok";
    default:
      throw new Error(`unknown verb ${verb}`);
  }
}

async function open(from: End, to: End): Promise<Socket> {
  const local = from.port === 0 ? {} : { localAddress: from.ip, localPort: from.port };
  const socket = connect({ host: to.ip, port: to.port, ...local });
  await once(socket, "connect");
  kept.add(socket);
  socket.on("error", () => {});
  socket.once("close", () => kept.delete(socket));
  return socket;
}

async function greeting(socket: Socket): Promise<string> {
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return chunk.toString().trim();
}

async function upload(from: End, to: End, byteCount: number): Promise<string> {
  const socket = await open(from, to);
  await greeting(socket);
  const answer = greeting(socket);
  socket.end(Buffer.alloc(byteCount));
  return answer;
}

async function datagrams(from: End): Promise<ReturnType<typeof createSocket>> {
  const type = isIPv6(from.ip) ? "udp6" : "udp4";
  const socket = createSocket({ type, ipv6Only: type === "udp6" });
  socket.bind({ address: from.ip, port: from.port, exclusive: true });
  await once(socket, "listening");
  return socket;
}

async function send(from: End, to: End, count: number, byteCount: number): Promise<number> {
  const socket = await datagrams(from);
  let leftCount = 0;
  for (let at = 0; at < count; at += 1) {
    const message = Buffer.alloc(byteCount, `${at} `);
    const fault = await new Promise<Error | null>((resolve) => socket.send(message, to.port, to.ip, resolve));
    if (fault === null) leftCount += 1;
  }
  socket.close();
  return leftCount;
}

async function ask(from: End, to: End): Promise<string> {
  const socket = await datagrams(from);
  const answer = once(socket, "message") as Promise<[Buffer]>;
  socket.send("hello", to.port, to.ip);
  const [text] = await answer;
  socket.close();
  return text.toString();
}
