/** The agent as a process: its start, its signals, its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer as createNetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { JWK } from "jose";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { LoopbackEdge, until } from "../link/loopback-edge.ts";
import { testedProgram } from "../runner/tested-program.ts";

const MAIN = testedProgram("agent");
const IP = "127.0.0.10";
/** Starting several processes takes its time on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

let edge: LoopbackEdge;
let edgeKey: JWK;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-agent-"));
  edge = await LoopbackEdge.start();
  edgeKey = await generateKey("edge");
  edge.keys = { keys: [publicPart(edgeKey)] };
  edge.ips = [IP];
  const identity = {
    role: "host",
    subject: "h1",
    pools: ["default"],
    expiresAtMs: Date.now() + 600_000,
  } as const;
  await writeFile(join(directory, "token"), await signToken(identity, await generateKey("issuer")));
});

afterEach(async () => {
  await edge.stop();
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

interface RunningAgent {
  readonly child: ChildProcess;
  readonly exited: Promise<[code: number | null, signal: string | null]>;
  readonly lines: string[];
  /** Null until it listens. */
  gateway(): string | null;
}

function startAgent(options: Record<string, string> = {}): RunningAgent {
  const complete = {
    "--edge": edge.url.href,
    "--pool": "default",
    "--token-file": join(directory, "token"),
    "--state": join(directory, "state"),
    "--listen": "127.0.0.1:0",
    "--allow": "127.0.0.0/8",
    "--processes": "1",
    ...options,
  };
  const child = spawn(process.execPath, [MAIN, ...Object.entries(complete).flat()], {
    stdio: ["ignore", "inherit", "pipe", "ipc"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const lines: string[] = [];
  createInterface(child.stderr!).on("line", (line) => lines.push(line));
  const exited = once(child, "close") as RunningAgent["exited"];
  const gateway = (): string | null => /listens on (http:[^"]+)"/.exec(lines.join("\n"))?.[1] ?? null;
  return { child, exited, lines, gateway };
}

async function startServingAgent(options: Record<string, string> = {}): Promise<RunningAgent> {
  const agent = startAgent(options);
  await until("the agent has its leases", () => edge.leasedEpochs(IP).length === 2 && isPlaced());
  return agent;
}

function isPlaced(): boolean {
  const report = edge.lastReport();
  return report !== undefined && !report.draining && report.rooms.some(({ portCount }) => portCount > 0);
}

/** An origin that answers when it is told to. */
async function slowOrigin(): Promise<{ url: string; waiting: ServerResponse[] }> {
  const waiting: ServerResponse[] = [];
  const server = createServer((_request, response) => waiting.push(response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, waiting };
}

async function clientHeaders(): Promise<{ "egress-authorization": string }> {
  const identity = {
    role: "gateway",
    subject: "c",
    pools: ["default"],
    expiresAtMs: Date.now() + 600_000,
  } as const;
  return { "egress-authorization": `Bearer ${await signToken(identity, edgeKey)}` };
}

async function fetchThrough(agent: RunningAgent, destination: string): Promise<Response> {
  return fetch(`${agent.gateway()}/v1/fetch?url=${encodeURIComponent(destination)}`, {
    headers: await clientHeaders(),
  });
}

/** A WebSocket by way of an agent's gateway. */
async function openThrough(agent: RunningAgent, destination: string): Promise<WebSocket> {
  const url = `${agent.gateway()!.replace("http", "ws")}/v1/fetch?url=${encodeURIComponent(destination)}`;
  return new WebSocket(url, { headers: await clientHeaders() });
}

test("[AG3] [EL6] on SIGTERM it gives its leases back and exits with 0; that its token nears its end it has said", async () => {
  const endsS = Math.floor(Date.now() / 1_000) + 7_200;
  const claims = { role: "host", sub: "h1", pools: ["default"], iat: endsS - 86_400, exp: endsS };
  const [head, body] = [{ alg: "EdDSA" }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString("base64url"),
  );
  await writeFile(join(directory, "token"), `${head}.${body}.x`);
  const agent = await startServingAgent();
  const warned = agent.lines.find((line) => line.includes("token-ending"));
  expect(JSON.parse(warned!)).toMatchObject({ host: "h1", endsAt: new Date(endsS * 1_000).toISOString() });
  agent.child.kill("SIGTERM");
  expect(await agent.exited).toEqual([0, null]);
  expect(edge.leasedEpochs(IP)).toEqual([]);
  expect(edge.lastReport()).toMatchObject({ draining: true });
});

test("[AG3] while it drains, what runs may end and what comes is refused by name", async () => {
  const agent = await startServingAgent();
  const origin = await slowOrigin();
  const running = fetchThrough(agent, origin.url);
  await until("the request is at the origin", () => origin.waiting.length === 1);
  agent.child.kill("SIGTERM");
  await until("it drains", () => edge.lastReport()?.draining === true);
  const refused = await fetchThrough(agent, origin.url);
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: "draining" });
  origin.waiting[0]!.end("at last");
  const answer = await running;
  expect(answer.headers.get("egress-ip")).toBe(IP);
  expect(await answer.text()).toBe("at last");
  expect(await agent.exited).toEqual([0, null]);
});

test("[AG3] [AG9] at the drain deadline it resets what still runs, and has said how much that is", async () => {
  const agent = await startServingAgent({ "--drain-deadline": "200" });
  const origin = await slowOrigin();
  const running = fetchThrough(agent, origin.url).then(
    ({ status }) => status,
    () => "failed",
  );
  await until("the request is at the origin", () => origin.waiting.length === 1);
  agent.child.kill("SIGINT");
  expect(await agent.exited).toEqual([0, null]);
  expect([502, 503, "failed"]).toContain(await running);
  expect(edge.leasedEpochs(IP)).toEqual([]);
  const said = agent.lines.map((line) => JSON.parse(line) as { ip?: string; flows?: number; msg: string });
  expect(said).toContainEqual(
    expect.objectContaining({ ip: IP, flows: 1, msg: "draining: 1 connection remains, for 1 s at the most" }),
  );
  expect(said).toContainEqual(expect.objectContaining({ flows: 1, msg: expect.stringMatching(/ are cut$/) }));
});

test("[AG3] a later signal ends it at once", async () => {
  const agent = await startServingAgent();
  const origin = await slowOrigin();
  const running = fetchThrough(agent, origin.url).catch(() => null);
  await until("the request is at the origin", () => origin.waiting.length === 1);
  const interruptions = setInterval(() => agent.child.kill("SIGTERM"), 100);
  expect(await agent.exited).toEqual([1, null]);
  clearInterval(interruptions);
  await running;
});

test("[AG3] when whoever started it over a channel is gone, it drains and ends", async () => {
  const agent = await startServingAgent();
  // After this, Node's "close" event does not come.
  const exited = once(agent.child, "exit");
  agent.child.disconnect();
  expect(await exited).toEqual([0, null]);
  expect(edge.leasedEpochs(IP)).toEqual([]);
});

test("[LK3] after kill -9 it takes up the same blocks", async () => {
  const agent = await startServingAgent();
  agent.child.kill("SIGKILL");
  await agent.exited;
  const epochs = edge.leasedEpochs(IP);
  edge.poolRequests.length = 0;
  const next = startAgent();
  await until("it serves again", isPlaced);
  expect(edge.leasedEpochs(IP)).toEqual(epochs);
  const origin = await slowOrigin();
  const running = fetchThrough(next, origin.url);
  await until("the request is at the origin", () => origin.waiting.length === 1);
  origin.waiting[0]!.end("same as before");
  expect(await (await running).text()).toBe("same as before");
});

test("[AG4] it starts while the edge is away, and serves when the edge is there", async () => {
  await edge.stop();
  const agent = startAgent();
  await until("the gateway listens", () => agent.gateway() !== null);
  const refused = await fetchThrough(agent, "http://127.0.0.1:9/");
  expect(refused.status).toBe(401);
  await edge.restart();
  await until("it serves", () => edge.leasedEpochs(IP).length === 2);
});

test("[AG1] what keeps it from starting is one line with a name", async () => {
  const agent = await startServingAgent();
  const sameState = startAgent();
  expect(await sameState.exited).toEqual([1, null]);
  expect(sameState.lines.join()).toMatch(/Another process.*\[state-in-use\]/);
  const taken = new URL(agent.gateway()!).host;
  const samePort = startAgent({ "--state": join(directory, "other"), "--listen": taken });
  expect(await samePort.exited).toEqual([1, null]);
  expect(samePort.lines).toEqual([
    `ipshard agent: Cannot listen on ${taken}: another program listens there. Choose another place with --listen. [listen-failed]`,
  ]);
  const tokenless = startAgent({ "--token-file": join(directory, "nowhere") });
  expect(await tokenless.exited).toEqual([1, null]);
  expect(tokenless.lines.join()).toContain("[token-unreadable]");
});

test("[GW11] neither clients that reset nor destinations that make no sense end it", async () => {
  const agent = await startServingAgent();
  const port = Number(new URL(agent.gateway()!).port);
  for (let round = 0; round < 60; round += 1) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    await once(socket, "connect");
    socket.write("CONNECT a:1 HTTP/1.1\r\n\r\n", () => socket.resetAndDestroy());
    await once(socket, "close");
  }
  const answers = ["HTTP/1.1 099 X", "HTTP/1.1 000 X", "HTTP/1.1 200 \x01", "HTTP/1.1 101 X"];
  const destination = createNetServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(`${answers.shift()}\r\nContent-Length: 0\r\n\r\n`));
  });
  destination.listen(0, "127.0.0.1");
  await once(destination, "listening");
  onTestFinished(() => {
    destination.close();
  });
  const statuses: (number | undefined)[] = [];
  while (answers.length > 0) {
    const socket = await openThrough(
      agent,
      `http://127.0.0.1:${(destination.address() as AddressInfo).port}/`,
    );
    socket.on("error", () => {});
    const [, response] = (await once(socket, "unexpected-response")) as [unknown, { statusCode?: number }];
    statuses.push(response.statusCode);
    socket.terminate();
  }
  expect(statuses).toEqual([502, 502, 200, 502]);
  expect((await fetch(`${agent.gateway()}/health`)).status).toBe(200);
  expect(agent.child.exitCode).toBeNull();
});

test("[GW17] at the drain deadline a WebSocket is closed with 1001 towards both sides", async () => {
  const agent = await startServingAgent({ "--drain-deadline": "300" });
  const sockets = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  onTestFinished(() => sockets.close());
  await once(sockets, "listening");
  const closes: number[] = [];
  sockets.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("close", (code) => closes.push(code));
    socket.send("hello");
  });
  const socket = await openThrough(agent, `http://127.0.0.1:${(sockets.address() as AddressInfo).port}/`);
  await once(socket, "message");
  const closed = once(socket, "close") as Promise<[number]>;
  agent.child.kill("SIGTERM");
  await until("it drains", () => edge.lastReport()?.draining === true);
  const health = await fetch(`${agent.gateway()}/health`);
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({ code: "draining" });
  expect((await closed)[0]).toBe(1001);
  await until("the destination knows", () => closes.length === 1);
  expect(closes).toEqual([1001]);
  expect(await agent.exited).toEqual([0, null]);
});
