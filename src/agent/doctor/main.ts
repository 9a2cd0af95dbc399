/**
 * `ipshard doctor`: what keeps this host from sharing its addresses, in sentences, and at the
 * end the proof: requests that leave from a leased port and whose replies come back, first through
 * its gateway, then through the edge, as its clients ask. [HS3] [HS4] [HS5]
 *
 * Exit status 0 when nothing is wrong, 1 when something is, 2 when it could not be found out.
 */
import { z } from "zod";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { problemCodeOf } from "../../wire/problem-response.ts";
import { optionInvalid, parsed } from "../../process/command-options.ts";
import { type PlainHttpOption, securely } from "../../process/plain-http-option.ts";
import { EdgeToken } from "../../link/edge-token.ts";
import { good, note, problem, tell, tellMachines, unknown } from "../../process/finding.ts";
import { begin, CommandFault } from "../../process/command-fault.ts";
import { meaningOf, reasonOf, roundTrips } from "../../link/round-trip.ts";
import { guardAvailability, needsGuard } from "../machine/guard.ts";
import { examineHost } from "../machine/host-findings.ts";
import { hostDoctorCommand, withNewNames } from "./command-line.ts";
import { throughEdge } from "./edge-round-trip.ts";
import { examineTranslation } from "./host-translation.ts";

interface Words extends PlainHttpOption {
  readonly edge: string;
  readonly clientTokenFile: string;
  readonly gateway: string;
  readonly to: string;
  readonly json?: true;
}

const passSchema = z.object({
  token: z.string(),
  pool: z.string(),
  hosts: z.array(z.object({ host: z.string(), gateway: z.string(), ips: z.array(z.string()) })),
});
const TIMEOUT_MS = 15_000;

async function examine(words: Words): Promise<void> {
  const { edge, clientTokenFile, gateway, to } = words;
  for (const [option, text] of Object.entries({ "--edge": edge, "--gateway": gateway })) {
    const url = URL.parse(text);
    if (url !== null) securely(option, url, words);
  }
  const token = await EdgeToken.open(clientTokenFile, "client");
  const pass = await askPass(edge, await token.read());
  if (pass === null) return;
  const ips = [...new Set(pass.hosts.flatMap((host) => host.ips))];
  if (ips.length === 0)
    tell(problem(`No host of the pool ${pass.pool} serves an address now; is this agent running?`));
  if (ips.some(needsGuard)) await examineMachine(ips);
  const direct = await roundTrips({ kind: "gateway", url: gateway, token: pass.token }, ips, to);
  for (const finding of direct.findings) tell(finding);
  // Who it is that we ask about, only its gateway can say.
  if (direct.host === null) return;
  const sender = { kind: "edge", url: edge, token: await token.read() } as const;
  for (const ip of direct.asked) tell(await throughEdge(sender, ip, to, direct.host, pass.hosts));
}

async function askPass(edge: string, token: string): Promise<z.infer<typeof passSchema> | null> {
  let response: Response;
  try {
    response = await fetch(new URL("/v1/gateway-tokens", edge), {
      method: "POST",
      headers: { [EGRESS_AUTHORIZATION]: `Bearer ${token}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (fault) {
    tell(
      problem(
        `The edge at ${edge} cannot be reached: ${reasonOf(fault)}. Is --edge its URL, and does it run?`,
      ),
    );
    return null;
  }
  if (response.ok) return passSchema.parse(await response.json());
  const code = problemCodeOf(response.headers.get("proxy-status"));
  const why =
    code === null
      ? `it answers with ${response.status}; is --edge the URL of an edge?`
      : `${meaningOf(code)}(${code})`;
  tell(problem(`The edge at ${edge} does not permit this command to ask its hosts: ${why}`));
  return null;
}

async function examineMachine(ips: readonly string[]): Promise<void> {
  const translation = await examineTranslation();
  for (const finding of await examineHost(ips, translation?.senderDevices)) tell(finding);
  await examineGuard();
  for (const finding of translation?.findings ?? []) tell(finding);
}

async function examineGuard(): Promise<void> {
  const availability = await guardAvailability();
  if (availability.ok) tell(good("The kernel can guard what leaves from shared addresses."));
  else
    tell(
      note(
        `There is no guard in the kernel, since ${availability.reason}: the agent alone keeps to its leases.`,
      ),
    );
}

function readWords(args: readonly string[]): Words | null {
  if (args.length === 0) {
    const ways =
      "on a host with --edge, --client-token-file, --gateway and --to; on a router as ipshard doctor router";
    throw optionInvalid(`Say what to examine: ${ways}.`);
  }
  const command = hostDoctorCommand((text) => process.stdout.write(text));
  return parsed(command, withNewNames(args))?.opts<Words>() ?? null;
}

await begin("ipshard doctor", async () => {
  const words = readWords(process.argv.slice(2));
  if (words === null) return;
  if (words.json === true) tellMachines();
  try {
    await examine(words);
  } catch (fault) {
    if (fault instanceof CommandFault) throw fault;
    tell(unknown(`It could not be found out: ${reasonOf(fault)}.`));
  }
});
