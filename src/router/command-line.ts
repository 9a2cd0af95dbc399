/** The command line of a router, read into a configuration or refused with a name. */
import { isIP } from "node:net";
import type { Command } from "commander";
import { isName } from "../core/selection.ts";
import {
  collect,
  newCommand,
  optionInvalid,
  parsed,
  readPlace,
  readPool,
  readUrl,
  withExamples,
} from "../process/command-options.ts";
import { isLoopback } from "../core/plain-http.ts";
import { ALLOW_PLAIN_HTTP, plainHttpRefused, securely, withPlainHttp } from "../process/plain-http-option.ts";
import { withConfiguration } from "../process/configuration.ts";
import {
  type MetricsOptionTexts,
  type MetricsPlace,
  readMetrics,
  withMetrics,
} from "../metrics/node/metrics-options.ts";
import { readWhenCopied, withCopiedState } from "../link/copied-state-option.ts";
import { withJoin } from "../link/join-arguments.ts";
import type { WhenCopied } from "../link/state-directory.ts";
import {
  configProblems,
  DEFAULT_ROUTER_CONFIG,
  type HostWay,
  type RouterConfig,
} from "./steering/router-config.ts";
import { type Steering, STEERINGS } from "./steering/steering-choice.ts";

/** How a router runs. */
export interface RouterOptions {
  readonly edge: URL;
  readonly pool: string;
  readonly tokenFile: string;
  readonly stateDirectory: string;
  readonly whenCopied: WhenCopied;
  /** Where health and counters are served; null for nowhere. */
  readonly listen: { readonly host: string; readonly port: number } | null;
  /** Where metrics are told; null for nowhere. */
  readonly metrics: MetricsPlace | null;
  readonly config: RouterConfig;
  /** What steers. */
  readonly steering: Steering;
  /** Print the rules and end, leaving the kernel alone. */
  readonly isDryRun: boolean;
  /** Take the rules out of the kernel at the end; else they go on steering. */
  readonly isRemovedAtEnd: boolean;
}

interface Words extends MetricsOptionTexts {
  readonly edge: string;
  readonly pool: string;
  readonly tokenFile: string;
  readonly state: string;
  readonly copiedState: string;
  readonly ingress: readonly string[];
  readonly link?: string;
  readonly via: readonly string[];
  readonly steering: string;
  readonly table: string;
  readonly icmpRate: string;
  readonly listen?: string;
  readonly dryRun: boolean;
  readonly removeAtEnd: boolean;
  readonly allowPlainHttp: boolean;
}

const EXAMPLES: readonly string[] = [
  "router --edge https://edge.example.com --pool eu --token-file r1.token --state /var/lib/ipshard-router --ingress eth0 --link eth1",
  "router --config ipshard.yaml",
  "router add r2 --pool eu -- --ingress eth0 --link eth1",
  "router list --pool eu",
];
const VIA = /^([^=]+)=(self|neighbour|routed)(?::([^,]+)((?:,[^,]+)*))?$/;

/** What a command that takes a router's options is called, and does. */
export interface About {
  readonly name: string;
  readonly description: string;
  readonly examples: readonly string[];
  /** Options of its own, which it reads itself. */
  readonly withOwnOptions?: (command: Command) => Command;
}

const ABOUT: About = {
  name: "ipshard router",
  description: "Sends each returning packet to the host whose port it is. Needs root and nftables.",
  examples: EXAMPLES,
};

/** Reads the arguments after the program's name; null when only help was asked for. Throws `option-invalid`. */
export function parseCommandLine(
  args: readonly string[],
  write: (text: string) => void,
  about = ABOUT,
): RouterOptions | null {
  const words = parsed(routerCommand(write, about), args)?.opts<Words>();
  if (words === undefined) return null;
  if (!/^\d{1,6}$/.test(words.icmpRate))
    throw optionInvalid(`--icmp-rate ${words.icmpRate} is no whole number from 1 to 999999.`);
  const config: RouterConfig = {
    ...DEFAULT_ROUTER_CONFIG,
    table: words.table,
    ingressDevices: words.ingress,
    neighbourDevice: words.link ?? null,
    hosts: readWays(words.via),
    icmpErrorsPerSecond: Number(words.icmpRate),
  };
  const problems = configProblems(config);
  if (problems.length > 0) throw optionInvalid(problems.join(" "));
  return {
    edge: securely("--edge", readUrl("--edge", words.edge), words),
    pool: readPool(words.pool),
    tokenFile: words.tokenFile,
    stateDirectory: words.state,
    whenCopied: readWhenCopied(words.copiedState),
    listen: words.listen === undefined ? null : listenPlace(words.listen, words),
    metrics: readMetrics(words, words.allowPlainHttp),
    config,
    steering: readSteering(words.steering),
    isDryRun: words.dryRun,
    isRemovedAtEnd: words.removeAtEnd,
  };
}

/** All options of a router. */
export function routerCommand(write: (text: string) => void, about = ABOUT): Command {
  const { name, description, examples, withOwnOptions = (command) => command } = about;
  const { table, icmpErrorsPerSecond } = DEFAULT_ROUTER_CONFIG;
  return withOwnOptions(
    withBeginning(withMetrics(withPlainHttp(newCommand(name, description, write))), examples),
  )
    .requiredOption("--edge <url>", "where the edge is")
    .requiredOption("--pool <name>", "the pool whose addresses to steer")
    .requiredOption("--token-file <file>", "a token of the role router; its subject is this router's name")
    .requiredOption("--state <directory>", "what this router remembers; one for each router")
    .requiredOption("--ingress <device>", "a device that faces the Internet; may be repeated", collect, [])
    .option("--link <device>", "the link on which hosts are neighbours, at the addresses they announce")
    .option(
      "--via <host=way>",
      "how one host is reached: h1=self, h2=neighbour:eth1,10.0.0.2, h3=routed:vxlan0,10.9.0.3; may be repeated",
      collect,
      [],
    )
    .option(
      "--steering <how>",
      "what steers: xdp, nft, or auto for the faster that this machine can do",
      "auto",
    )
    .option("--table <name>", "name of the nftables tables", table)
    .option("--icmp-rate <n>", "ICMP errors per second towards 256 ports", String(icmpErrorsPerSecond))
    .option("--listen <host:port>", "serve /health, and counters at /v1/status to administrators")
    .option("--dry-run", "print the rules for the pool as it is now, and change nothing", false)
    .option("--remove-at-end", "take the rules out at the end instead of leaving them to steer on", false);
}

function withBeginning(command: Command, examples: readonly string[]): Command {
  return withExamples(withConfiguration(withJoin(withCopiedState(command))), examples);
}

/** Administrators show their tokens there. */
function listenPlace(text: string, { allowPlainHttp }: Words): RouterOptions["listen"] {
  const place = readPlace("--listen", text);
  if (allowPlainHttp || isLoopback(place.host)) return place;
  throw plainHttpRefused(
    `--listen ${text} would take tokens over plain HTTP from other machines. Listen on 127.0.0.1, where a ` +
      `tunnel or a proxy with TLS comes to it; ${ALLOW_PLAIN_HTTP} is for a network that is yours alone.`,
  );
}

function readSteering(word: string): Steering {
  const known = STEERINGS.find((steering) => steering === word);
  if (known !== undefined) return known;
  throw optionInvalid(`--steering ${word} is not one of ${STEERINGS.join(", ")}.`);
}

function readWays(words: readonly string[]): Map<string, HostWay> {
  const ways = new Map<string, HostWay>();
  for (const word of words) {
    const [, host, kind, device, hops] = VIA.exec(word) ?? [];
    const nextHops = (hops ?? "").split(",").filter((hop) => hop !== "");
    if (host === undefined || !isName(host) || (kind === "self") !== (device === undefined)) {
      throw optionInvalid(
        `--via ${word} is not one of host=self, host=neighbour:device[,next-hop], host=routed:device[,next-hop].`,
      );
    }
    if (ways.has(host)) throw optionInvalid(`--via names ${host} twice: give one way to each host.`);
    const wrong = nextHops.find((hop) => isIP(hop) === 0);
    if (wrong !== undefined)
      throw optionInvalid(`--via ${word}: ${wrong} is no IP address; a next hop is given by its address.`);
    if (kind === "self") ways.set(host, { kind });
    else ways.set(host, { kind: kind as "neighbour" | "routed", device: device!, nextHops });
  }
  return ways;
}
