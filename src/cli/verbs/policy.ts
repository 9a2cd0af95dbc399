/** `ipshard policy`: shows and changes whom a pool serves and where they may go, and explains what it decides. [DE17] [OV8] */
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { parseDestinationEntry } from "../../policy/destination-entry.ts";
import { collect, optionInvalid, withExamples } from "../../process/command-options.ts";
import { judgementText, PlaceJudge } from "../judging/judgement.ts";
import { type JudgedPlace, readJudgedPlace } from "../judging/judged-place.ts";
import { findPolicy, type PolicySource } from "../judging/policy-source.ts";
import { rulesIn } from "../judging/policy-file.ts";
import { stringify } from "yaml";
import type { AnswerOf } from "../../api/edge-api.ts";
import { policyChangesSchema, tenantChangesSchema } from "../../api/policy-schemas.ts";
import { WrittenFile } from "../../process/written-file.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb, poolOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { printableJson } from "../../process/printable.ts";
import { print } from "../output/print.ts";
import { printableLines } from "../output/terminal-text.ts";

type PolicyWords = OperatorWords & { readonly json?: true; readonly pool?: string; readonly tenant?: string };

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

const test = withOperator(newVerb("test", "say whether a tenant may reach a destination, and why"))
  .argument("<destination>", "a URL, or host:port, or udp://host:port")
  .requiredOption("--as <tenant>", "who asks: a tenant, or a client of none")
  .option("--pool <name>", "the pool whose policy is asked for at the edge")
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
  // What is misspelt decides nothing, and 1 says that the destination is denied.
  .exitOverride((fault) => process.exit(fault.exitCode === 0 ? 0 : UNDECIDED))
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
        ? printableJson({ allowed: isAllowed, tenant, ...place, ...reasons }, 2)
        : judgementText(place, judgement, tenant),
    );
    process.exitCode = isAllowed ? ALLOWED : DENIED;
  });

const show = withOperator(newVerb("show", "show the policy of a pool, or what holds for one tenant"))
  .addOption(poolOption())
  .option("--tenant <name>", "only what holds for this tenant")
  .addOption(jsonOption())
  .action(async ({ json, pool: named, tenant, ...by }: PolicyWords) => {
    const operator = await operatorFor(by);
    const { api } = operator;
    const pool = await poolMeant(named, operator);
    if (tenant !== undefined) {
      const found = await api.getTenant({ pool, tenant });
      return answer(json, found, () => tenantText(found));
    }
    const found = await api.getPolicy({ pool });
    await answer(json, found, () => policyText(found));
  });

const set = withOperator(
  newVerb("set", "change what a file gives of a pool's policy, or of what is said of a tenant"),
)
  .argument("<file>", "YAML or JSON, as `policy show` prints it; - for standard input")
  .addOption(poolOption())
  .option("--tenant <name>", "of this tenant; one that was not named is named by it")
  .addOption(jsonOption())
  .action(async (file: string, { json, pool: named, tenant, ...by }: PolicyWords) => {
    const written = await WrittenFile.read(file);
    const operator = await operatorFor(by);
    const { api } = operator;
    if (tenant !== undefined) {
      const changes = written.as(tenantChangesSchema);
      const found = await api.putTenant({ pool: await poolMeant(named, operator), tenant, ...changes });
      return answer(json, found, () => tenantText(found));
    }
    const changes = written.as(policyChangesSchema);
    const found = await api.putPolicy({ pool: await poolMeant(named, operator), ...changes });
    await answer(json, found, () => policyText(found));
  });

const forget = withOperator(newVerb("forget", "say nothing of a tenant any more: it is as any other"))
  .argument("<tenant>", "its name")
  .addOption(poolOption())
  .addOption(jsonOption())
  .action(async (tenant: string, { json, pool: named, ...by }: PolicyWords) => {
    const operator = await operatorFor(by);
    const found = await operator.api.deleteTenant({ pool: await poolMeant(named, operator), tenant });
    await answer(json, found, () => tenantText(found));
  });

/** The verb. */
export const policy = withExamples(
  newVerb("policy", "show and change the policy of a pool, and explain what it decides")
    .addCommand(show)
    .addCommand(set)
    .addCommand(forget)
    .addCommand(test),
  [
    "policy show --pool eu",
    "policy set denied.yaml --pool eu",
    "policy set limits.json --tenant shop",
    "policy forget shop --pool eu",
    "policy test https://example.com/ --as shop --pool eu",
  ],
);

/** As `policy set` takes it again; with the version, so that a change that came between is not overwritten. */
function policyText({
  version,
  destinations,
  special,
  anyTenant,
  tenants,
  revoked,
}: AnswerOf<"getPolicy">): string {
  const named = Object.keys(tenants).toSorted();
  const lines = [
    ...(named.length === 0 ? [] : [`# Something of its own is said of: ${named.join(", ")} (--tenant).`]),
    ...(revoked.length === 0 ? [] : [`# Revoked tokens: ${revoked.length}.`]),
  ];
  return asYaml({ version, destinations, special, anyTenant }, lines);
}

function tenantText({ tenant, version, policy: holds, named }: AnswerOf<"getTenant">): string {
  if (holds === null) return `The pool does not serve the tenant ${tenant}.`;
  const whose = named
    ? `# Said of ${tenant}.`
    : `# Said of any tenant that is not named, as ${tenant} is not.`;
  return asYaml({ version, ...holds }, [whose]);
}

function asYaml(found: unknown, comments: readonly string[]): string {
  return printableLines([...comments, stringify(found).trimEnd()].join("\n"));
}

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
  const found = answers.flatMap((family) => (family.status === "fulfilled" ? family.value : []));
  if (found.length > 0) return found;
  throw optionInvalid(`${host} does not resolve here. Say with --address what its addresses would be.`);
}
