/** The command line of an agent, read into a configuration or refused with a name. */
import { isIP } from "node:net";
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import ipaddr from "ipaddr.js";
import {
  collect,
  collectRecords,
  newCommand,
  optionInvalid,
  parsed,
  readDuration,
  readMs,
  readPlace,
  readPool,
  readUrl,
  withExamples,
} from "../process/command-options.ts";
import { withConfiguration } from "../process/configuration.ts";
import { readWhenCopied, withCopiedState } from "../link/copied-state-option.ts";
import type { MetricsPlace } from "../metrics/node/metrics-options.ts";
import { withJoin } from "../link/join-arguments.ts";
import type { WhenCopied } from "../link/state-directory.ts";
import { DEFAULT_WEIGHT, isLabel, isWeight, LEAST_WEIGHT, MOST_WEIGHT } from "../core/whereabouts.ts";
import { gatewayUrl } from "../wire/gateway-url.ts";
import {
  type FlowLogConfig,
  type FlowLogOptionTexts,
  readFlowLog,
  withFlowLog,
} from "./flow-log/flow-log-options.ts";
import { DEFAULT_TIMING } from "./leasing/keeper-options.ts";
import type { MachineMode } from "./machine/guarded-machine.ts";
import type { CertificateFiles } from "./traffic/tls/listener-certificate.ts";
import { readSources, readVia } from "./proxy-options.ts";
import { readSnatRules, type SnatRule } from "./translation/snat-rule.ts";
import { readTransport, type TransportOptions, withTransport } from "./transport-options.ts";
import type { Probe } from "./uplink/uplink-watch.ts";

/** How an agent runs. */
export interface AgentConfig {
  readonly edge: URL;
  readonly pool: string;
  readonly tokenFile: string;
  readonly stateDirectory: string;
  readonly whenCopied: WhenCopied;
  readonly listenHost: string;
  readonly listenPort: number;
  /** How many processes carry traffic; with one it is the agent's own. */
  readonly processes: number;
  /** Where proxies listen. */
  readonly proxies: readonly { readonly host: string; readonly port: number }[];
  /** Where clients of the proxies may come from without credentials, and what they are called. */
  readonly proxySources: readonly { readonly range: string; readonly name: string }[];
  /** What the proxies add to requests. */
  readonly proxyMarks: { readonly via: string | null; readonly isForwardedTold: boolean };
  /** With which the gateway speaks TLS, and nothing else; null for plain HTTP. */
  readonly gatewayCertificate: CertificateFiles | null;
  /** With which the proxies speak TLS, besides; null for not at all. */
  readonly proxyCertificate: CertificateFiles | null;
  /** Whether tokens may come and go over plain HTTP beyond this machine. */
  readonly allowsPlainHttp: boolean;
  /** How long nothing may pass through a tunnel before it is ended. */
  readonly tunnelIdleMs: number;
  /** How long a client may take nothing of an answer. */
  readonly requestIdleMs: number;
  /** How long anything may last; null for as long as it lasts. */
  readonly flowTotalMs: number | null;
  /** As the edge reaches it; null to make one from where the agent listens. */
  readonly gateway: string | null;
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
  readonly nameServers: readonly string[];
  readonly drainDeadlineMs: number;
  /** Until a connection to a destination stands. */
  readonly connectTimeoutMs: number;
  /** Until a destination begins to answer. */
  readonly responseTimeoutMs: number;
  /** How long ports must have been of no use before a block of them is given back. */
  readonly restMs: number;
  /** What the agent may do to the machine's kernel. */
  readonly machine: MachineMode;
  /** Where routers reach this host, at most one address of each family; its own, not a shared one. */
  readonly reach: { readonly ipv4: string | null; readonly ipv6: string | null };
  /** Where something always answers, so that a dead uplink shows before anybody asks for anything. */
  readonly probes: readonly Probe[];
  /** Where this host is: of the pool's addresses it gets those that are announced there. */
  readonly site: string | null;
  /** Its share of the load compared with other hosts. */
  readonly weight: number;
  /** Whose packets the kernel translates. */
  readonly snat: readonly SnatRule[];
  /** What is logged of what leaves. */
  readonly flowLog: FlowLogConfig;
  /** Where metrics are told; null for nowhere. */
  readonly metrics: MetricsPlace | null;
  /** Where spans of requests go; null for nowhere. */
  readonly collector: string | null;
}

interface Options extends TransportOptions, FlowLogOptionTexts {
  readonly edge: string;
  readonly pool: string;
  readonly tokenFile: string;
  readonly state: string;
  readonly copiedState: string;
  readonly listen: string;
  readonly processes?: string;
  readonly proxy: readonly string[];
  readonly proxySource: readonly string[];
  readonly proxyVia?: string;
  readonly proxyForwarded?: true;
  readonly tunnelIdle: string;
  readonly requestIdle: string;
  readonly flowTotal: string;
  readonly gateway?: string;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly dns: readonly string[];
  readonly drainDeadline: string;
  readonly connectTimeout: string;
  readonly responseTimeout: string;
  readonly rest: string;
  readonly machine: string;
  readonly reach: readonly string[];
  readonly probe: readonly string[];
  readonly site?: string;
  readonly weight: string;
  readonly snat: readonly string[];
}

const DEFAULT_DRAIN_DEADLINE = "30s";
const DEFAULT_CONNECT_TIMEOUT = "10s";
/**
 * As other proxies have it. It is also what a client costs that closed in good order while it
 * waited, for workerd tells nobody of that. [WK42]
 */
const DEFAULT_RESPONSE_TIMEOUT = "60s";
const LONGEST_MS = 86_400_000;
/** Unless more are asked for. */
const MOST_PROCESSES = 8;
const MOST_ASKED_PROCESSES = 64;
/** RFC 5382 REQ-5. */
const LEAST_TUNNEL_IDLE_MS = 7_440_000;
const LEAST_REQUEST_IDLE_MS = 1_000;
const LEAST_FLOW_TOTAL_MS = 60_000;
const LONGEST_FLOW_TOTAL_MS = 30 * LONGEST_MS;
const MACHINE_MODES: readonly [MachineMode, ...MachineMode[]] = ["auto", "require", "off"];

/** Reads the arguments after the program's name; null when only help was asked for. Throws `option-invalid`. */
export function parseConfig(args: readonly string[], write: (text: string) => void): AgentConfig | null {
  const options = parsed(agentCommand(write), args)?.opts<Options>();
  if (options === undefined) return null;
  const { host: listenHost, port: listenPort } = readPlace("--listen", options.listen);
  const gateway =
    options.gateway === undefined ? null : gatewayUrl(readUrl("--gateway", options.gateway).href);
  if (gateway === null && isUnspecified(listenHost)) {
    throw optionInvalid(
      `--gateway is needed: the edge cannot reach ${listenHost}. Give the URL by which it reaches this host.`,
    );
  }
  const proxies = options.proxy.map((text) => readPlace("--proxy", text));
  const edge = readUrl("--edge", options.edge);
  const pool = readPool(options.pool);
  const snat = readSnatRules(options.snat, pool);
  const machine = readMode(options.machine);
  if (snat.length > 0 && machine === "off") {
    throw optionInvalid("--snat needs the guard in the kernel, and --machine off switches it off.");
  }
  const transport = readTransport(options, { edge, gateway, listenHost, proxies });
  return {
    edge,
    pool,
    tokenFile: options.tokenFile,
    stateDirectory: options.state,
    whenCopied: readWhenCopied(options.copiedState),
    listenHost,
    listenPort,
    processes: options.processes === undefined ? defaultProcesses() : readProcesses(options.processes),
    proxies,
    proxySources: readSources(options.proxySource),
    proxyMarks: {
      via: options.proxyVia === undefined ? null : readVia(options.proxyVia),
      isForwardedTold: options.proxyForwarded === true,
    },
    ...transport,
    tunnelIdleMs: readDuration("--tunnel-idle", options.tunnelIdle, {
      leastMs: LEAST_TUNNEL_IDLE_MS,
      mostMs: LONGEST_MS,
    }),
    requestIdleMs: readDuration("--request-idle", options.requestIdle, {
      leastMs: LEAST_REQUEST_IDLE_MS,
      mostMs: LONGEST_MS,
    }),
    flowTotalMs:
      options.flowTotal === "none"
        ? null
        : readDuration("--flow-total", options.flowTotal, {
            leastMs: LEAST_FLOW_TOTAL_MS,
            mostMs: LONGEST_FLOW_TOTAL_MS,
          }),
    gateway,
    allowed: options.allow.map((text) => readRange("--allow", text)),
    denied: options.deny.map((text) => readRange("--deny", text)),
    nameServers: options.dns.map(readNameServer),
    drainDeadlineMs: readMs("--drain-deadline", options.drainDeadline, LONGEST_MS),
    connectTimeoutMs: readMs("--connect-timeout", options.connectTimeout, LONGEST_MS),
    responseTimeoutMs: readMs("--response-timeout", options.responseTimeout, LONGEST_MS),
    restMs: readMs("--rest", options.rest, LONGEST_MS),
    // Without a guard nothing could be translated.
    machine: snat.length > 0 ? "require" : machine,
    snat,
    reach: readOwnNextHop(options.reach),
    probes: options.probe.map(readProbe),
    site: options.site === undefined ? null : readSite(options.site),
    weight: readWeight(options.weight),
    flowLog: readFlowLog(options),
  };
}

/** All options of an agent. */
export function agentCommand(write: (text: string) => void): Command {
  const description = "Leases ports of the pool's addresses for this host, and sends requests from them.";
  const command = withExamples(
    withConfiguration(withCopiedState(newCommand("ipshard agent", description, write))),
    ["agent --config ipshard.yaml"],
  );
  return withJoin(withFlowLog(withTransport(withFlowTimes(command))))
    .requiredOption("--edge <url>", "where the edge is")
    .requiredOption("--pool <name>", "the pool to join")
    .requiredOption("--token-file <file>", "a token of the role host; its subject is this host's name")
    .requiredOption("--state <directory>", "what this host remembers; one for each agent")
    .requiredOption("--listen <host:port>", "where the gateway listens")
    .option(
      "--processes <number>",
      `processes that carry traffic (default: one for each processor, at most ${MOST_PROCESSES})`,
    )
    .option("--gateway <url>", "the gateway as the edge reaches it (default: where it listens)")
    .option("--proxy <host:port>", "where a proxy listens, for HTTP and SOCKS5; may be repeated", collect, [])
    .option(
      "--proxy-source <cidr=name>",
      "where clients of the proxies need no token, and what they are called, or none; may be repeated (default: this machine, as local)",
      collect,
      [],
    )
    .option("--proxy-via <name>", "add Via with this name to what the proxies forward")
    .option("--proxy-forwarded", "tell destinations the address of a proxy's client, in Forwarded")
    .option("--allow <cidr>", "a special range that may be a destination; may be repeated", collect, [])
    .option("--deny <cidr>", "a range that must not be a destination; may be repeated", collect, [])
    .option("--dns <host:port>", "a name server instead of the system's; may be repeated", collect, [])
    .option(
      "--drain-deadline <time>",
      "how long connections may go on after SIGTERM; a number alone is milliseconds",
      DEFAULT_DRAIN_DEADLINE,
    )
    .option(
      "--connect-timeout <time>",
      "how long a destination may take to accept a connection; a number alone is milliseconds",
      DEFAULT_CONNECT_TIMEOUT,
    )
    .option(
      "--response-timeout <time>",
      "how long a destination may take to begin its answer; a number alone is milliseconds",
      DEFAULT_RESPONSE_TIMEOUT,
    )
    .option(
      "--rest <time>",
      "how long ports must have been of no use before a block of them is given back; a number alone is milliseconds",
      `${DEFAULT_TIMING.restMs / 1_000}s`,
    )
    .option(
      "--machine <mode>",
      "guard and addresses in the kernel: auto (where root may), require, off",
      MACHINE_MODES[0],
    )
    .option("--reach <address>", "where routers reach this host; once for IPv4, once for IPv6", collect, [])
    .option(
      "--probe <url or host:port>",
      "where something always answers, to see whether the uplink lives; may be repeated",
      collect,
      [],
    )
    .option("--site <name>", "where this host is; it gets the addresses that are announced there")
    .option(
      "--snat <senders>",
      "whose packets the kernel translates, as source=10.244.0.0/16, direct=10.0.0.0/8, name=pods (also device, mark, cgroup; ip); may be repeated",
      collectRecords,
      [],
    )
    .option("--weight <number>", "its share of the load compared with other hosts", String(DEFAULT_WEIGHT));
}

function withFlowTimes(command: Command): Command {
  return command
    .option(
      "--tunnel-idle <time>",
      "how long nothing may pass through a tunnel before it is ended, at least 124m",
      "124m",
    )
    .option(
      "--request-idle <time>",
      "how long a client may take nothing of an answer before it is ended, at least 1s",
      "5m",
    )
    .option("--flow-total <time>", "how long anything may last, at least 1m, or none", "none");
}

function defaultProcesses(): number {
  // Elsewhere the kernel does not share connections out.
  return process.platform === "linux" ? Math.min(MOST_PROCESSES, availableParallelism()) : 1;
}

function readProcesses(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= MOST_ASKED_PROCESSES) return count;
  throw optionInvalid(`--processes ${text} is not a number of processes from 1 to ${MOST_ASKED_PROCESSES}.`);
}

function readRange(option: string, text: string): string {
  if (!ipaddr.isValidCIDR(text)) throw optionInvalid(`${option} ${text} is not a range such as 10.1.0.0/16.`);
  return text;
}

function readNameServer(text: string): string {
  const isBare = isIP(text) !== 0;
  if (!isBare && isIP(readPlace("--dns", text).host) === 0) {
    throw optionInvalid(
      `--dns ${text}: a name server is given by its IP address, such as 10.0.0.53 or [2001:db8::53]:53.`,
    );
  }
  return text;
}

/** Connecting is enough, so of a URL only the place counts. */
function readProbe(text: string): Probe {
  if (!/^https?:\/\//i.test(text)) {
    const { host, port } = readPlace("--probe", text);
    if (port === 0) throw optionInvalid(`--probe ${text}: nothing answers on port 0.`);
    return { host, port };
  }
  const { hostname, port, protocol } = readUrl("--probe", text);
  const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  return { host, port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port) };
}

function readSite(text: string): string {
  if (isLabel(text)) return text;
  throw optionInvalid(
    `--site ${text} cannot be a site: those have 1 to 63 printable ASCII characters, and no blank at an end.`,
  );
}

function readWeight(text: string): number {
  const weight = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && isWeight(weight)) return weight;
  throw optionInvalid(
    `--weight ${text} is not a number from ${LEAST_WEIGHT} to ${MOST_WEIGHT}, such as 2.5.`,
  );
}

function readMode(text: string): MachineMode {
  const mode = MACHINE_MODES.find((known) => known === text);
  if (mode === undefined)
    throw optionInvalid(`--machine ${text} is not a mode. The modes are ${MACHINE_MODES.join(", ")}.`);
  return mode;
}

function readOwnNextHop(addresses: readonly string[]): AgentConfig["reach"] {
  const wrong = addresses.find((address) => isIP(address) === 0);
  if (wrong !== undefined) throw optionInvalid(`--reach ${wrong} is not an IP address such as 10.0.0.11.`);
  const ipv4 = addresses.filter((address) => isIP(address) === 4);
  const ipv6 = addresses.filter((address) => isIP(address) === 6);
  if (ipv4.length > 1 || ipv6.length > 1) throw optionInvalid("--reach takes one address of each family.");
  return { ipv4: ipv4[0] ?? null, ipv6: ipv6[0] ?? null };
}

function isUnspecified(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
