/** `ipshard policy test`: whether a tenant may reach a destination, and why. [DE17] */
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { parseDestinationEntry } from "../../policy/destination-entry.ts";
import { collect, optionInvalid } from "../../process/command-options.ts";
import { judgementText, PlaceJudge } from "../judging/judgement.ts";
import { type JudgedPlace, readJudgedPlace } from "../judging/judged-place.ts";
import { findPolicy, type PolicySource } from "../judging/policy-source.ts";
import { rulesIn } from "../judging/policy-file.ts";
import { newVerb } from "../options.ts";
import { print } from "../output/print.ts";

interface Words extends PolicySource {
  readonly as: string;
  readonly address: readonly string[];
  readonly destination: readonly string[];
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly dns: readonly string[];
  readonly json?: true;
}

/** What the exit code says. */
const ALLOWED = 0;
const DENIED = 1;
const UNDECIDED = 2;

const test = newVerb("test", "say whether a tenant may reach a destination, and why")
  .argument("<destination>", "a URL, or host:port, or udp://host:port")
  .requiredOption("--as <tenant>", "who asks: a tenant, or a client of none")
  .option("--edge <url>", "where the edge is, which has the pool's policy")
  .option("--pool <name>", "the pool there")
  .option("--token-file <file>", "an administrator's token for it")
  .option("--file <file>", "the pool's policy as JSON instead (default: one that says nothing)")
  .option(
    "--address <ip>",
    "an address of the name, which is then not looked up; may be repeated",
    collect,
    [],
  )
  .option("--destination <entry>", "what the token is for, if it says so; may be repeated", collect, [])
  .option("--allow <cidr>", "as given to the hosts' agents; may be repeated", collect, [])
  .option("--deny <cidr>", "as given to the hosts' agents; may be repeated", collect, [])
  .option("--dns <host:port>", "a name server instead of the system's; may be repeated", collect, [])
  .option("--json", "print the decision for machines")
  .action(async (destination: string, words: Words) => {
    // Until something is decided.
    process.exitCode = UNDECIDED;
    const place = readJudgedPlace(destination);
    const { as: tenant } = words;
    const found = await findPolicy(words);
    const rules = rulesIn(found.text, found.source, tenant);
    if (rules.tenant === null) {
      await print(
        words.json === true ? JSON.stringify({ allowed: false, code: "tenant-denied" }) : notServed(tenant),
      );
      process.exitCode = DENIED;
      return;
    }
    for (const cidr of [...words.allow, ...words.deny]) {
      if (!ipaddr.isValidCIDR(cidr)) throw optionInvalid(`${cidr} is not a range such as 10.1.0.0/16.`);
    }
    const host = { allowed: words.allow, denied: words.deny };
    const judge = new PlaceJudge(place, rules, host, tokenList(words.destination));
    const addresses = judge.ofName() === null ? await addressesOf(place, words) : [];
    const judgement = await judge.of(addresses);
    const { isAllowed, ...reasons } = judgement;
    await print(
      words.json === true
        ? JSON.stringify({ allowed: isAllowed, tenant, ...place, ...reasons }, null, 2)
        : judgementText(place, judgement, tenant),
    );
    process.exitCode = isAllowed ? ALLOWED : DENIED;
  });

/** The verb. */
export const policy = newVerb("policy", "explain what the policy of a pool decides").addCommand(test);

function notServed(tenant: string): string {
  return `The pool does not serve the tenant ${tenant}: denied [tenant-denied]`;
}

function tokenList(entries: readonly string[]): readonly string[] | null {
  for (const entry of entries) {
    const read = parseDestinationEntry(entry);
    if (!read.ok) throw optionInvalid(`--destination ${read.refusal}`);
  }
  return entries.length === 0 ? null : entries;
}

async function addressesOf(
  { host, isLiteral }: JudgedPlace,
  { address, dns }: Words,
): Promise<readonly string[]> {
  const wrong = address.find((ip) => isIP(ip) === 0 || ip.includes("%"));
  if (wrong !== undefined) throw optionInvalid(`--address ${wrong} is not an IP address.`);
  if (isLiteral) return [host];
  if (address.length > 0) return address;
  // As hosts have it: never to be asked of a name server.
  if (/(?:^|\.)localhost\.?$/.test(host)) return ["127.0.0.1", "::1"];
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  if (dns.length > 0) resolver.setServers(dns);
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (found.length > 0) return found;
  throw optionInvalid(`${host} does not resolve here. Say with --address what its addresses would be.`);
}
