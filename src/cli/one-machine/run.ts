/**
 * A whole ipshard on this machine: the edge, two hosts that share one address, and a sample
 * origin; all on loopback, without root, until it is told to end.
 */
import type { Server } from "node:http";
import { type EdgeApi, edgeApi } from "../../api/edge-api.ts";
import { refuseIfMissing, refuseIfTaken } from "../supervision/addresses.ts";
import { agentCommand, agentEnvironment } from "../supervision/agent-command.ts";
import type { ChildSpec } from "../supervision/child.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { watchDisk } from "../edge/disk-watch.ts";
import { EDGE_NAME, type EdgeOptions, prepareEdge, untilEdgeAnswers } from "../edge/edge-process.ts";
import { aborted, listenForEnding } from "../supervision/end-signals.ts";
import { findLaunchers } from "../../process/launched-by.ts";
import { ensureKeys, type KeyPairs } from "../credentials/key-files.ts";
import { RunRecords } from "../supervision/run-records.ts";
import { startSampleOrigin } from "./sample-origin.ts";
import type { StatePaths } from "../state-paths.ts";
import { Supervisor } from "../supervision/supervisor.ts";
import { ensureToken } from "../credentials/token-files.ts";
import { waitUntil } from "../supervision/waiting.ts";
import { signInLink } from "../credentials/sign-in-link.ts";
import { welcome } from "./welcome.ts";

/** The one address that both hosts share. */
export const SHARED_IP = "127.0.0.10";
const ORIGIN_IP = "127.0.0.20";
const LOOPBACK = "127.0.0.1";
const HOSTS = ["h1", "h2"] as const;
const POOL = "default";
const LAUNCHER_NAME = "launcher";

/** Ports from the first on: the edge, a gateway for each host, the origin, a proxy for each host. */
export const PORT_COUNT = 2 + 2 * HOSTS.length;

const READY_TIMEOUT_MS = 30_000;
/** A Ctrl-C lets requests in flight end for this long. */
const DRAIN_DEADLINE_MS = 2_000;
const AGENT_GRACE_MS = DRAIN_DEADLINE_MS + 2_000;

/** What runs the edge: workerd by itself, or another program that runs the same Worker. */
export type EdgeProgram = (state: StatePaths, keys: KeyPairs, options: EdgeOptions) => Promise<ChildSpec>;

/** Runs everything; resolves when it was told to end and all of it has ended. */
export async function runStart(
  state: StatePaths,
  firstPort: number,
  edgeProgram: EdgeProgram = prepareEdge,
): Promise<void> {
  const launchers = findLaunchers();
  const ending = listenForEnding(launchers);
  const records = new RunRecords(state.run, launchers);
  const ended = await records.takeOver([LAUNCHER_NAME, ...HOSTS, EDGE_NAME]);
  records.add(LAUNCHER_NAME, process.pid, "");
  if (ended.length > 0) console.log(`Ended what an earlier start left behind: ${ended.join(", ")}.`);
  const supervisor = new Supervisor(records, (line) => console.error(line));
  ending.asked.addEventListener("abort", () => console.log("\nEnding …"));
  ending.urged.addEventListener("abort", () => supervisor.killAll());
  let origin: Server | null = null;
  try {
    await refuseIfMissing([SHARED_IP, ORIGIN_IP]);
    await refuseIfTaken(placesOf(firstPort), "Choose other ports with: npm start -- --port NUMBER");
    origin = await startSampleOrigin(ORIGIN_IP, originPort(firstPort));
    await Promise.race([
      startParts(state, firstPort, { supervisor, edgeProgram, stop: ending.asked }),
      supervisor.failed,
    ]);
    watchDisk(state.edgeStorage, (sentence) => console.error(sentence), ending.asked);
    await Promise.race([aborted(ending.asked), supervisor.failed]);
  } catch (fault) {
    // What was interrupted by a signal to end has not failed.
    if (!ending.asked.aborted) throw fault;
  } finally {
    // Hosts first: they give their leases back to an edge that still listens.
    await supervisor.stop(HOSTS);
    await supervisor.stop([EDGE_NAME]);
    origin?.close();
    origin?.closeAllConnections();
    records.remove(LAUNCHER_NAME);
  }
}

async function startParts(
  state: StatePaths,
  firstPort: number,
  by: { readonly supervisor: Supervisor; readonly edgeProgram: EdgeProgram; readonly stop: AbortSignal },
): Promise<void> {
  const { supervisor, edgeProgram, stop } = by;
  const keys = await ensureKeys(state);
  const edgeUrl = `http://${LOOPBACK}:${firstPort}`;
  const tokenOf = (role: "client" | "admin", pools: readonly string[]) =>
    ensureToken(state, { role, name: role, pools }, keys.issuer, Date.now());
  const client = await tokenOf("client", [POOL]);
  const operator = await tokenOf("admin", []);

  console.log("Starting the edge …");
  const edge = await edgeProgram(state, keys, { host: LOOPBACK, port: firstPort });
  await supervisor.start(edge);
  await untilEdgeAnswers(edgeUrl, edge.logFile, stop);
  const asOperator = edgeApi({ edge: edgeUrl, token: () => operator.token, signal: stop });
  await asOperator.putPool({ pool: POOL });
  await asOperator.putIp({ pool: POOL, ip: SHARED_IP });

  console.log(`Starting the hosts ${HOSTS.join(" and ")} …`);
  for (const [index, host] of HOSTS.entries()) {
    await supervisor.start(await agentSpec(state, host, firstPort, index, keys));
  }
  const asClient = edgeApi({ edge: edgeUrl, token: () => client.token, signal: stop });
  if (!(await waitUntil(() => areServing(asClient), READY_TIMEOUT_MS, stop))) {
    if (stop.aborted) return;
    const logs = HOSTS.map((host) => state.logFile(host)).join(", ");
    throw new CommandFault(
      "hosts-not-ready",
      `The hosts hold no leases after ${READY_TIMEOUT_MS / 1_000} s; their logs say why: ${logs}`,
    );
  }
  const originUrl = `http://${ORIGIN_IP}:${originPort(firstPort)}`;
  const tokenFiles = { client: client.file, admin: operator.file };
  const proxy = `${LOOPBACK}:${proxyPort(firstPort, 0)}`;
  const dashboard = signInLink(edgeUrl, (await asOperator.makeSignInCode()).code);
  console.log(welcome({ dashboard, edgeUrl, originUrl, proxy, ip: SHARED_IP, hosts: HOSTS, tokenFiles }));
}

/** Whether all hosts are placed on the address, which none is without a lease. */
async function areServing(api: EdgeApi): Promise<boolean> {
  const placed = (await api.makeGatewayToken()).hosts;
  return HOSTS.every((name) => placed.some(({ host, ips }) => host === name && ips.includes(SHARED_IP)));
}

async function agentSpec(
  state: StatePaths,
  host: string,
  firstPort: number,
  index: number,
  keys: KeyPairs,
): Promise<ChildSpec> {
  const wanted = { role: "host", name: host, pools: [POOL] } as const;
  const { file } = await ensureToken(state, wanted, keys.issuer, Date.now());
  const options = {
    edge: `http://${LOOPBACK}:${firstPort}`,
    pool: POOL,
    "token-file": file,
    state: state.hostState(host),
    listen: `${LOOPBACK}:${gatewayPort(firstPort, index)}`,
    proxy: `${LOOPBACK}:${proxyPort(firstPort, index)}`,
    // The sample origin is on loopback, which a host refuses unless it is told otherwise.
    allow: "127.0.0.0/8",
    "drain-deadline": String(DRAIN_DEADLINE_MS),
    // All hosts share the processors of this machine.
    processes: "1",
  };
  const [command, ...args] = agentCommand(
    Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
  );
  return {
    name: host,
    command: command!,
    args,
    env: agentEnvironment(),
    mark: state.hostState(host),
    logFile: state.logFile(host),
    graceMs: AGENT_GRACE_MS,
  };
}

function placesOf(firstPort: number) {
  return [
    { host: LOOPBACK, port: firstPort, purpose: "the edge" },
    ...HOSTS.map((host, index) => ({
      host: LOOPBACK,
      port: gatewayPort(firstPort, index),
      purpose: `the gateway of host ${host}`,
    })),
    { host: ORIGIN_IP, port: originPort(firstPort), purpose: "the sample origin" },
    ...HOSTS.map((host, index) => ({
      host: LOOPBACK,
      port: proxyPort(firstPort, index),
      purpose: `the proxy of host ${host}`,
    })),
  ];
}

function gatewayPort(firstPort: number, index: number): number {
  return firstPort + 1 + index;
}

function originPort(firstPort: number): number {
  return firstPort + 1 + HOSTS.length;
}

function proxyPort(firstPort: number, index: number): number {
  return firstPort + 2 + HOSTS.length + index;
}
