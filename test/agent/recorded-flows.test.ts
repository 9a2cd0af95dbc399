/** Whatever sends from a leased port is noted, from before its first packet until its socket has closed. */
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { FlowRecorder, LeavingFlow } from "../../src/agent/egress/flow-recorder.ts";
import { eventually, startByteOrigin, startOrigin, startRig } from "./gateway-rig.ts";
import { startProxyRig } from "./proxy-rig.ts";
import { startTcpRig } from "./raw-tcp-rig.ts";
import { CERTIFICATE, startSecureOrigin } from "./tls-origin.ts";
import { startUdpRig, UdpEnd, wrapped } from "./udp-rig.ts";

interface Noted extends LeavingFlow {
  readonly users: (string | null)[];
  readonly places: string[];
  ended: readonly [sent: number, received: number] | null;
  endCount: number;
}

class Notes implements FlowRecorder {
  readonly flows: Noted[] = [];

  begins(flow: LeavingFlow) {
    const noted: Noted = { ...flow, users: [], places: [], ended: null, endCount: 0 };
    this.flows.push(noted);
    return {
      usedBy: ({ client }: { readonly client: string | null }) => void noted.users.push(client),
      sentTo: ({ ip, port }: { readonly ip: string; readonly port: number }) =>
        void noted.places.push(`${ip}:${port}`),
      ended: (sent: number, received: number) => {
        noted.ended = [sent, received];
        noted.endCount += 1;
      },
    };
  }

  async allEnded(): Promise<void> {
    await eventually(() => this.flows.every(({ endCount }) => endCount === 1), "all flows are over");
  }
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function start(options: Parameters<typeof startRig>[0] = {}) {
  const rig = await startRig(options);
  const notes = new Notes();
  rig.outgoing.dialler.recorder = notes;
  closing.push(rig.close);
  return { rig, notes };
}

describe("a flow", () => {
  test("[AT5] of HTTP/1.1 is one connection, however many requests it serves", async () => {
    const { rig, notes } = await start({ idleTimeoutMs: 200 });
    const origin = await startOrigin((_request, response) => response.end("x".repeat(5_000)));
    closing.push(origin.close);
    let port = "";
    for (let count = 0; count < 3; count += 1) {
      const response = await rig.fetch(origin.url);
      await response.text();
      port = response.headers.get("egress-port")!;
    }
    expect(notes.flows).toMatchObject([
      {
        ip: "127.0.0.10",
        port: Number(port),
        protocol: "tcp",
        destination: { ip: "127.0.0.1", port: origin.port },
        sender: { tenant: "test", client: "test", clientAddress: "127.0.0.1" },
        users: ["test", "test"],
        ended: null,
      },
    ]);
    await notes.allEnded();
    const [sent, received] = notes.flows[0]!.ended!;
    expect(sent).toBeGreaterThan(100);
    expect(received).toBeGreaterThan(15_000);
  });

  test.each(["h2", "h1"] as const)("[AT5] of %s over TLS counts what is on the wire", async (protocol) => {
    const { rig, notes } = await start({ authorities: [CERTIFICATE], idleTimeoutMs: 200 });
    const origin = await startSecureOrigin(protocol, (_request, response) => {
      response.end("x".repeat(5_000));
    });
    closing.push(origin.close);
    await Promise.all([1, 2, 3].map(async () => (await rig.fetch(origin.url)).text()));
    await notes.allEnded();
    expect(notes.flows.length).toBeGreaterThan(0);
    const received = notes.flows.reduce((sum, { ended }) => sum + ended![1], 0);
    expect(received).toBeGreaterThan(15_000);
    expect(received).toBeLessThan(40_000);
    if (protocol === "h2") expect(notes.flows).toHaveLength(1);
  });

  test("[AT5] that nobody accepts is one, too: it has sent", async () => {
    const { rig, notes } = await start();
    const origin = await startByteOrigin(() => {});
    origin.close();
    expect((await rig.fetch(origin.url)).status).toBe(502);
    expect(notes.flows).toMatchObject([{ destination: { port: origin.port }, ended: [0, 0], endCount: 1 }]);
  });

  test("[AT5] of a WebSocket lasts as long as that", async () => {
    const { rig, notes } = await start();
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const url = encodeURIComponent(`http://127.0.0.1:${port}/`);
    const headers = { "egress-authorization": `Bearer ${rig.token}` };
    const client = new WebSocket(`${rig.url.replace("http", "ws")}/v1/fetch?url=${url}`, { headers });
    await once(client, "open");
    expect(notes.flows).toMatchObject([
      { sender: { client: "test", clientAddress: "127.0.0.1" }, endCount: 0 },
    ]);
    client.send("x".repeat(1_000));
    client.close();
    await notes.allEnded();
    expect(notes.flows[0]!.ended![0]).toBeGreaterThan(1_000);
  });

  test("[AT5] of a TCP connection in a WebSocket is that connection", async () => {
    const { rig, connect: open, accepted, close } = await startTcpRig();
    const notes = new Notes();
    rig.outgoing.dialler.recorder = notes;
    closing.push(close);
    const socket = open();
    await socket.opened;
    const far = await accepted();
    far.end("answer");
    await socket.close();
    await notes.allEnded();
    expect(notes.flows).toMatchObject([
      { sender: { tenant: "test", clientAddress: "127.0.0.1" }, ended: [0, 6] },
    ]);
  });

  test("[AT5] of a tunnel has the client by its source, and its bytes", async () => {
    const rig = await startProxyRig();
    const notes = new Notes();
    rig.outgoing.dialler.recorder = notes;
    const origin = await startByteOrigin((socket) => socket.on("data", (chunk) => socket.end(chunk)));
    closing.push(rig.close, origin.close);
    const client = connect(rig.proxyPort, "127.0.0.1");
    closing.push(() => client.destroy());
    client.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nhost: x\r\n\r\n`);
    await once(client, "data");
    client.write("hello");
    await once(client, "data");
    client.end();
    await notes.allEnded();
    expect(notes.flows).toMatchObject([
      { sender: { tenant: "local", client: "local", clientAddress: "127.0.0.1" }, ended: [5, 5] },
    ]);
  });

  test("[AT5] of UDP is one socket, with every place that it sent to", async () => {
    const notes = new Notes();
    const rig = await startUdpRig();
    closing.push(rig.close);
    const sender = { tenant: "t", client: "c", clientAddress: null };
    const opened = await rig.open({
      begins: (place) => notes.begins({ ...place, protocol: "udp", destination: null, sender }),
    });
    if (!opened.ok) throw new Error(opened.refusal.code);
    const association = opened.value;
    const far = [await UdpEnd.bind(), await UdpEnd.bind()];
    const near = await UdpEnd.bind();
    closing.push(...[...far, near].map((end) => () => end.close()));
    for (const { port } of far) {
      await near.send(wrapped("127.0.0.1", port, "four"), association.relayPlace);
    }
    for (const end of far) await end.hears(1);
    await far[0]!.send("answer", association.egressPlace);
    await near.hears(1);
    association.close();
    association.close();
    expect(notes.flows).toMatchObject([
      {
        ...association.egressPlace,
        places: far.map(({ port }) => `127.0.0.1:${port}`),
        ended: [8, 6],
        endCount: 1,
      },
    ]);
  });
});
