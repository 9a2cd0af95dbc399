/** The command line of an agent, read into a configuration or refused with a name. */
import { isIP } from "node:net";
import { Command, CommanderError } from "commander";
import ipaddr from "ipaddr.js";
import { isName } from "../core/selection.ts";
import type { MachineMode } from "./machine/machine.ts";
import { StartFault } from "../link/start-fault.ts";

/** How an agent runs. */
export interface AgentConfig {
  readonly edge: URL;
  readonly pool: string;
  readonly tokenFile: string;
  readonly stateDirectory: string;
  readonly listenHost: string;
  readonly listenPort: number;
  /** As the edge reaches it; null to make one from where the agent listens. */
  readonly gateway: string | null;
  readonly allowed: readonly string[];
  readonly nameServers: readonly string[];
  readonly drainDeadlineMs: number;
  /** Until a connection to a destination stands. */
  readonly connectTimeoutMs: number;
  /** Until a destination begins to answer. */
  readonly responseTimeoutMs: number;
  /** What the agent may do to the machine's kernel. */
  readonly machine: MachineMode;
  /** Where routers reach this host, at most one address of each family; its own, not a shared one. */
  readonly reach: { readonly ipv4: string | null; readonly ipv6: string | null };
}

interface Options {
  readonly edge: string;
  readonly pool: string;
  readonly tokenFile: string;
  readonly state: string;
  readonly listen: string;
  readonly gateway?: string;
  readonly allow: readonly string[];
  readonly dns: readonly string[];
  readonly drainDeadline: string;
  readonly connectTimeout: string;
  readonly responseTimeout: string;
  readonly machine: string;
  readonly reach: readonly string[];
}

const DEFAULT_DRAIN_DEADLINE_MS = 30_000;
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
const DEFAULT_RESPONSE_TIMEOUT_MS = 300_000;
const LONGEST_MS = 86_400_000;
const MACHINE_MODES: readonly [MachineMode, ...MachineMode[]] = ["auto", "require", "off"];
const HOST_AND_PORT = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/;

/** Reads the arguments after the program's name; null when only help was asked for. Throws `option-invalid`. */
export function parseConfig(args: readonly string[], write: (text: string) => void): AgentConfig | null {
  const command = commandLine(write);
  try {
    command.parse(args, { from: "user" });
  } catch (fault) {
    if (!(fault instanceof CommanderError)) throw fault;
    if (fault.exitCode === 0) return null;
    throw invalid(fault.message.replace(/^error: /, ""));
  }
  const options = command.opts<Options>();
  const { host: listenHost, port: listenPort } = readPlace("--listen", options.listen);
  if (!isName(options.pool)) throw invalid(`--pool ${options.pool} cannot be the name of a pool.`);
  const gateway = options.gateway === undefined ? null : readUrl("--gateway", options.gateway).href;
  if (gateway === null && isUnspecified(listenHost)) {
    throw invalid(`--gateway is needed: the edge cannot reach ${listenHost}.`);
  }
  return {
    edge: readUrl("--edge", options.edge),
    pool: options.pool,
    tokenFile: options.tokenFile,
    stateDirectory: options.state,
    listenHost,
    listenPort,
    gateway,
    allowed: options.allow.map(readRange),
    nameServers: options.dns.map(readNameServer),
    drainDeadlineMs: readMs("--drain-deadline", options.drainDeadline),
    connectTimeoutMs: readMs("--connect-timeout", options.connectTimeout),
    responseTimeoutMs: readMs("--response-timeout", options.responseTimeout),
    machine: readMode(options.machine),
    reach: readReach(options.reach),
  };
}

function commandLine(write: (text: string) => void): Command {
  return new Command("ipshard agent")
    .description("Leases ports of the pool's addresses for this host, and sends requests from them.")
    .requiredOption("--edge <url>", "where the edge is")
    .requiredOption("--pool <name>", "the pool to join")
    .requiredOption("--token-file <file>", "a token of the role host; its subject is this host's name")
    .requiredOption("--state <directory>", "what this host remembers; one for each agent")
    .requiredOption("--listen <host:port>", "where the gateway listens")
    .option("--gateway <url>", "the gateway as the edge reaches it (default: where it listens, by http)")
    .option("--allow <cidr>", "a special range that may be a destination; may be repeated", collect, [])
    .option("--dns <host:port>", "a name server instead of the system's; may be repeated", collect, [])
    .option(
      "--drain-deadline <ms>",
      "how long connections may go on after SIGTERM",
      String(DEFAULT_DRAIN_DEADLINE_MS),
    )
    .option(
      "--connect-timeout <ms>",
      "how long a destination may take to accept a connection",
      String(DEFAULT_CONNECT_TIMEOUT_MS),
    )
    .option(
      "--response-timeout <ms>",
      "how long a destination may take to begin its answer",
      String(DEFAULT_RESPONSE_TIMEOUT_MS),
    )
    .option(
      "--machine <mode>",
      "guard and addresses in the kernel: auto (where root may), require, off",
      MACHINE_MODES[0],
    )
    .option("--reach <address>", "where routers reach this host; once for IPv4, once for IPv6", collect, [])
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => {} });
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

function readUrl(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw invalid(`${option} ${text} is no http or https URL.`);
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw invalid(`${option} takes a URL without credentials, query and fragment.`);
  }
  return url;
}

function readPlace(option: string, text: string): { host: string; port: number } {
  const match = HOST_AND_PORT.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw invalid(`${option} ${text} is not of the form host:port.`);
  return { host: (match[1] ?? match[2])!, port };
}

function readRange(text: string): string {
  if (!ipaddr.isValidCIDR(text)) throw invalid(`--allow ${text} is no range such as 10.1.0.0/16.`);
  return text;
}

function readNameServer(text: string): string {
  const isBare = isIP(text) !== 0;
  if (!isBare && isIP(readPlace("--dns", text).host) === 0) {
    throw invalid(`--dns ${text}: a name server is given by its address.`);
  }
  return text;
}

function readMode(text: string): MachineMode {
  const mode = MACHINE_MODES.find((known) => known === text);
  if (mode === undefined) throw invalid(`--machine ${text} is none of ${MACHINE_MODES.join(", ")}.`);
  return mode;
}

function readReach(addresses: readonly string[]): AgentConfig["reach"] {
  const wrong = addresses.find((address) => isIP(address) === 0);
  if (wrong !== undefined) throw invalid(`--reach ${wrong} is no address.`);
  const ipv4 = addresses.filter((address) => isIP(address) === 4);
  const ipv6 = addresses.filter((address) => isIP(address) === 6);
  if (ipv4.length > 1 || ipv6.length > 1) throw invalid("--reach takes one address of each family.");
  return { ipv4: ipv4[0] ?? null, ipv6: ipv6[0] ?? null };
}

function readMs(option: string, text: string): number {
  const ms = Number(text);
  if (!/^\d+$/.test(text) || ms > LONGEST_MS) {
    throw invalid(`${option} ${text} is no number of milliseconds up to a day.`);
  }
  return ms;
}

function isUnspecified(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

function invalid(message: string): StartFault {
  return new StartFault("option-invalid", message);
}
