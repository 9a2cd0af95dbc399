/**
 * Who sent what, asked for ten thousand moments and judged by what was on the wires. Blocks go from one
 * host to another meanwhile, agents are killed, and so is the edge.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Holders } from "../../src/api/holder-schemas.ts";
import { Deployment, SHARED } from "./deployment.ts";
import { EDGE_URL } from "./edge-side.ts";
import type { LabProcess } from "./lab-process.ts";
import { hostOnManagement, ORIGINS_IPV4, ORIGINS_IPV6 } from "./plan.ts";
import { type Sighting, sightingsIn } from "./sightings.ts";

const HOSTS = ["h1", "h2", "h3"] as const;
/** Each tenant has an origin of its own, so that the wires tell whose a packet is. */
const TENANTS = [
  { name: "edge-1", port: 8_081 },
  { name: "edge-2", port: 8_082 },
  { name: "direct", port: 8_083 },
  { name: "tunnels", port: 8_084 },
  { name: "datagrams-1", port: 8_085 },
  { name: "datagrams-2", port: 8_086 },
] as const;
/** Those that send datagrams, and nothing else. */
const DATAGRAM_TENANTS = TENANTS.slice(4);
const PROXY_PORT = 3_128;
const SAMPLES = 10_000;
/** What begins so shortly before a SIGKILL may not have reached the log. */
const UNWRITTEN_MS = 50;

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    idleHosts: ["h3"],
    proxyPort: PROXY_PORT,
    agentArgs: [
      "--drain-deadline=1000",
      "--flow-log=flows",
      "--flow-log-destinations",
      "--proxy-source=none",
    ],
    settings: {
      leaseDurationMs: 6_000,
      quarantineMs: 2_000,
      minPortsPerHost: 0,
      maxPortsPerHost: 64_512,
      firstBlockOrder: 7,
    },
  });
}, 120_000);

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

interface Question {
  readonly query: string;
  /** Who sent then; null where nothing is known to have left. */
  readonly sender: { readonly host: string; readonly tenant: string } | null;
  readonly ip: string;
  readonly port: number;
  readonly atMs: number;
  readonly hasDestination: boolean;
  readonly protocol: "tcp" | "udp";
}

/** A packet that left a host from a shared address, and the host. */
interface Sent extends Sighting {
  readonly host: string;
}

function originUrl(from: string, port: number, at: number): string {
  return from.includes(":") ? `http://[${ORIGINS_IPV6[at]}]:${port}` : `http://${ORIGINS_IPV4[at]}:${port}`;
}

/** Requests of a client, which is a tenant by itself, by the edge or straight to a gateway. */
async function requestsOf(name: string, port: number, hosts: readonly (string | null)[]) {
  const token = await deployment.token("client", name);
  const leave = async (host: string | null): Promise<{ base: string; token: string }> => {
    if (host === null) return { base: EDGE_URL, token };
    const headers = { authorization: `Bearer ${token}` };
    const url = `${EDGE_URL}/v1/gateway-tokens`;
    const { body } = await deployment.client.request({ url, method: "POST", headers });
    return { base: deployment.gatewayOf(host), token: (JSON.parse(body) as { token: string }).token };
  };
  const requests = [];
  for (const host of hosts) {
    const way = await leave(host);
    for (const [at, from] of [...SHARED, ...SHARED].entries()) {
      const destination = `${originUrl(from, port, at >> 1)}${at % 3 === 0 ? "/stream?ticks=4&everyMs=50" : "/seen"}`;
      requests.push({
        url: `${way.base}/v1/fetch?url=${encodeURIComponent(destination)}`,
        headers: { "egress-authorization": `Bearer ${way.token}`, egress: `ip="${from}"` },
      });
    }
  }
  return requests;
}

async function startTunnels(): Promise<LabProcess> {
  const { name, port } = TENANTS[3];
  const token = await deployment.token("client", name);
  const proxies = HOSTS.map((host) => `${hostOnManagement(Number(host.slice(1))).ipv4}:${PROXY_PORT}`);
  const program = join(import.meta.dirname, "tunnel-load.ts");
  const load = deployment.lab.spawnNode("edge", program, [
    "16",
    `${port}`,
    ORIGINS_IPV4[0],
    token,
    ...proxies,
  ]);
  await load.waitFor("ready\n");
  return load;
}

/** Of both tenants, from both addresses, by all hosts that there are. */
async function startDatagrams(): Promise<LabProcess[]> {
  const proxies = HOSTS.map((host) => hostOnManagement(Number(host.slice(1))).ipv4).join();
  const program = join(import.meta.dirname, "datagram-load.ts");
  const origins = [ORIGINS_IPV4, ORIGINS_IPV6].map((ips, at) => `${SHARED[at]}=${ips.join()}`);
  return Promise.all(
    DATAGRAM_TENANTS.map(async ({ name, port }) => {
      const token = await deployment.token("client", name);
      const args = ["3", `${port}`, token, `${PROXY_PORT}`, proxies, ...origins];
      const load = deployment.lab.spawnNode("edge", program, args);
      await load.waitFor("ready\n");
      return load;
    }),
  );
}

/** How many of its questions a load was answered. */
async function stopLoad(load: LabProcess): Promise<number> {
  load.write("stop");
  await load.waitFor("}");
  return (JSON.parse(load.said.split("\n")[1]!) as { wellCount: number }).wellCount;
}

function drawSamples(sent: readonly Sent[], killedAtMs: number, span: readonly [number, number]): Question[] {
  const tenantAt = new Map<number, string>(TENANTS.map(({ name, port }) => [port, name]));
  const begun = new Map<string, number>();
  for (const { host, from, fromPort, to, toPort, flags, atMs } of sent) {
    if (flags === "S") begun.set(`${host} ${from} ${fromPort} ${to} ${toPort}`, atMs);
  }
  const isWritten = ({ host, from, fromPort, to, toPort, flags, atMs }: Sent): boolean => {
    // When an association began is on no wire: it may have been just then.
    if (flags === "") return host !== "h2" || Math.abs(atMs - killedAtMs) > UNWRITTEN_MS;
    const beganMs = begun.get(`${host} ${from} ${fromPort} ${to} ${toPort}`);
    return (
      host !== "h2" || beganMs === undefined || beganMs > killedAtMs || beganMs < killedAtMs - UNWRITTEN_MS
    );
  };
  const ours = sent.filter((packet) => tenantAt.has(packet.toPort) && isWritten(packet));
  // All but what was about to be written when its agent was killed.
  expect(ours.length).toBeGreaterThan(sent.filter(({ toPort }) => tenantAt.has(toPort)).length * 0.99);
  const datagrams = ours.filter(({ flags }) => flags === "");
  expect(datagrams.length).toBeGreaterThan(500);
  const questions: Question[] = [];
  for (let at = 0; at < SAMPLES; at += 1) {
    const among = at % 3 === 0 ? datagrams : ours;
    const packet = among[Math.floor(Math.random() * among.length)]!;
    const { from: ip, fromPort: port, to, toPort, host } = packet;
    const protocol = packet.flags === "" ? "udp" : "tcp";
    const isOfPacket = at % 4 !== 3;
    const hasDestination = isOfPacket && at % 2 === 0;
    const atMs = Math.floor(isOfPacket ? packet.atMs : span[0] + Math.random() * (span[1] - span[0]));
    const query = new URLSearchParams({ ip, port: String(port), at: String(atMs), protocol });
    if (hasDestination) query.set("destination", to.includes(":") ? `[${to}]:${toPort}` : `${to}:${toPort}`);
    const sender = isOfPacket ? { host, tenant: tenantAt.get(toPort)! } : null;
    questions.push({ query: query.toString(), sender, ip, port, atMs, hasDestination, protocol });
  }
  return questions;
}

/** What is wrong about an answer; null for nothing. */
function objectionTo(
  question: Question,
  answer: Holders,
  hostsAt: ReadonlyMap<string, ReadonlySet<string>>,
): string | null {
  const { sender, ip, port, atMs, hasDestination, protocol } = question;
  if (answer.state === "unknown") return `unknown: ${answer.reason}`;
  const hosts = answer.holders.map(({ host }) => host);
  const seen = [...(hostsAt.get(`${ip} ${port} ${atMs}`) ?? [])];
  if (seen.some((host) => !hosts.includes(host)))
    return `said ${hosts.join() || "nobody"}, seen ${seen.join()}`;
  if (sender === null) return hosts.length > 1 ? "two at once" : null;
  if (hosts.join() !== sender.host) return `said ${hosts.join()}, not ${sender.host}`;
  const { state, log } = answer.holders[0]!.flows;
  if (log === null) return `the host said ${state}`;
  if (log.level !== "flows") return `logged ${log.level}`;
  if (log.blocks.length !== 1) return `${log.blocks.length} blocks`;
  const tenants = new Set([...log.flows, ...log.ended].map(({ tenant }) => tenant));
  if (!tenants.has(sender.tenant)) return `said ${[...tenants].join() || "no tenant"}, not ${sender.tenant}`;
  // The same number serves both protocols, for different tenants.
  const isOther = (tenant: string): boolean =>
    DATAGRAM_TENANTS.some(({ name }) => name === tenant) !== (protocol === "udp");
  if ([...tenants].some(isOther)) return `said ${[...tenants].join()} by ${protocol}`;
  // A datagram's socket serves all destinations, so these tell its tenants apart no more.
  if (protocol === "tcp" && hasDestination && tenants.size > 1)
    return `said ${[...tenants].join()}, and knew where it went`;
  return null;
}

test(
  "[AT1] [AT2] [AT5] [AT6] [AT7] ten thousand answers are what the wires have seen, over handovers and restarts",
  { timeout: 300_000 },
  async () => {
    const { lab } = deployment;
    for (const { port } of DATAGRAM_TENANTS) {
      const args = [`${port}`, ...ORIGINS_IPV4, ...ORIGINS_IPV6];
      const origin = lab.spawnNode("internet", join(import.meta.dirname, "udp-origin.ts"), args);
      await origin.waitFor("listening");
    }
    for (const { port } of TENANTS.slice(0, -DATAGRAM_TENANTS.length)) {
      const origin = lab.spawnNode("internet", join(import.meta.dirname, "web-origin.ts"), [`${port}`]);
      await origin.waitFor("listening");
    }
    await deployment.takePorts();
    const filter = SHARED.map((ip) => `src host ${ip}`).join(" or ");
    const wires = await Promise.all(
      HOSTS.map((host) => lab.capture(host, "lan0", `(tcp or udp) and (${filter})`)),
    );
    const fromMs = Date.now();
    const loads = [deployment.client, await deployment.newClient(), await deployment.newClient()];
    await loads[0]!.load(8, await requestsOf(TENANTS[0].name, TENANTS[0].port, [null]));
    await loads[1]!.load(8, await requestsOf(TENANTS[1].name, TENANTS[1].port, [null]));
    await loads[2]!.load(8, await requestsOf(TENANTS[2].name, TENANTS[2].port, ["h1", "h2"]));
    const tunnels = await startTunnels();
    const datagrams = await startDatagrams();
    const progress = (): Promise<void> => loads[1]!.progresses(150);
    // Connections are kept, so it takes many requests until most ports of a host were used.
    const useMost = (): Promise<void> => loads[1]!.progresses(600);
    await useMost();
    // Its blocks are the next host's, after the quarantine.
    await deployment.end("h1", "SIGTERM");
    await deployment.startHost("h3");
    await deployment.untilServing(["h2", "h3"]);
    await useMost();
    const killedAtMs = Date.now();
    await deployment.end("h2", "SIGKILL");
    await deployment.startHost("h2");
    await deployment.untilServing(["h2", "h3"]);
    // There may be no ports for it; but it can be asked.
    await deployment.startHost("h1");
    await deployment.processOf("h1").waitFor("the gateway listens");
    await progress();
    await deployment.killEdge();
    await deployment.startEdge();
    await progress();
    for (const load of loads) await load.stop();
    for (const load of [tunnels, ...datagrams]) expect(await stopLoad(load)).toBeGreaterThan(100);
    // What still leaves of connections that have ended is on the wires, too.
    await delay(500);
    const untilMs = Date.now();
    const sent: Sent[] = [];
    for (const [at, wire] of wires.entries()) {
      for (const packet of sightingsIn(await wire.packets())) sent.push({ ...packet, host: HOSTS[at]! });
    }
    const hostsAt = new Map<string, Set<string>>();
    for (const { from, fromPort, atMs, host } of sent) {
      const key = `${from} ${fromPort} ${Math.floor(atMs)}`;
      hostsAt.set(key, (hostsAt.get(key) ?? new Set()).add(host));
    }
    // Ports that several hosts have sent from, one after the other: without them it would prove little.
    const shared = Map.groupBy(sent, ({ from, fromPort }) => `${from} ${fromPort}`);
    const handedOver = [...shared.values()].filter(
      (packets) => new Set(packets.map(({ host }) => host)).size > 1,
    );
    expect(handedOver.length).toBeGreaterThan(10);

    const questions = drawSamples(sent, killedAtMs, [fromMs, untilMs]);
    const [questionsFile, answersFile] = ["questions.json", "answers.json"].map((name) =>
      join(lab.directory, name),
    );
    await writeFile(questionsFile!, JSON.stringify(questions.map(({ query }) => query)));
    const program = join(import.meta.dirname, "holder-asker.ts");
    const token = await deployment.token("admin", "abuse-desk");
    const asker = lab.spawnNode("edge", program, [EDGE_URL, token, questionsFile!, answersFile!]);
    await asker.waitFor("all is answered");
    const answers = JSON.parse(await readFile(answersFile!, "utf8")) as Holders[];
    const objections = questions.flatMap((question, at) => {
      const objection = objectionTo(question, answers[at]!, hostsAt);
      return objection === null ? [] : [{ objection, question, answer: answers[at] }];
    });
    const count = (state: Holders["state"]): number =>
      answers.filter((answer) => answer.state === state).length;
    console.log(
      `${sent.length} packets, ${sent.filter(({ flags }) => flags === "").length} of UDP, ${handedOver.length} ports of several hosts; ` +
        `${count("held")} held, ${count("nobody")} nobody; asked in ${Date.now() - untilMs} ms`,
    );
    expect(objections.slice(0, 5)).toEqual([]);
    expect(objections).toHaveLength(0);
    expect(Math.min(count("held"), count("nobody"))).toBeGreaterThan(0);
  },
);
