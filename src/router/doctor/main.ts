/**
 * `ipshard doctor router`: says in sentences what keeps this router from sending packets to their
 * hosts, and at the end whether each host that holds ports answers on its next hop. [RT11] [RT12]
 *
 * It takes the router's own options, or those of the router that runs here. Exit status as for
 * a host: 0 when nothing is wrong, 1 when something is, 2 when it could not be found out.
 */
import type { SteeringTable } from "../../core/steering.ts";
import { type Finding, good, note, problem, tell, tellMachines, unknown } from "../../process/finding.ts";
import { mayAdministerNetwork } from "../../process/privileges.ts";
import { begin, CommandFault } from "../../process/command-fault.ts";
import { newCommand, optionInvalid } from "../../process/command-options.ts";
import { EdgeToken } from "../../link/edge-token.ts";
import { roundTrips } from "../../link/round-trip.ts";
import { configured, readConfigured } from "../../process/configuration.ts";
import { parseCommandLine, routerCommand, type RouterOptions } from "../command-line.ts";
import { contactFindings, contactHosts } from "./host-contact.ts";
import { dropFinding, kernelFaultFinding, kernelFindings, observeKernel } from "./kernel-tables.ts";
import { askPool } from "../feed/pool-question.ts";
import { machineFindings, observeMachine } from "./forwarding.ts";
import { ROUTER_DOCTOR } from "./command-line.ts";
import { type RunningRouter, type RunningRouters, runningRouters, withPathsFrom } from "./running-routers.ts";
import { listLinks, PLAIN_COMMANDS } from "../kernel/kernel-tools.ts";
import { observeStatus, statusFindings } from "./status.ts";
import { absenceFindings, observeXdp, xdpFindings } from "./xdp-program.ts";

/** A request to be sent at the end; null for none. */
type Trip = { readonly to: string; readonly token: string } | null;

async function examine(
  options: RouterOptions,
  router: RunningRouter | "hidden" | null,
  trip: Trip,
): Promise<void> {
  const isPrivileged = mayAdministerNetwork();
  const status = await observeStatus(options, router);
  for (const finding of statusFindings(status, Date.now())) tell(finding);
  const table = status.token.fault === null ? await examinePool(options) : null;
  await examineSystem(options, table, isPrivileged);
  if (trip === null) {
    const how = "give --to and --client-token-file, or run npx ipshard doctor on a host";
    return tell(note(`It has not been tried whether replies come back all the way to a host: ${how}.`));
  }
  if (table === null) return;
  const edge = { kind: "edge", url: options.edge.href, token: trip.token } as const;
  for (const finding of (await roundTrips(edge, table.ips, trip.to)).findings) tell(finding);
}

async function examinePool(options: RouterOptions): Promise<SteeringTable | null> {
  const answer = await askPool(options);
  if ("table" in answer) {
    const { ips, entries } = answer.table;
    tell(
      good(`The edge tells of the pool ${options.pool}: ${ips.length} addresses, ${entries.length} blocks.`),
    );
    return answer.table;
  }
  tell(
    problem(
      `The edge at ${options.edge.href} does not tell of the pool ${options.pool}: ${answer.fault} ` +
        "The kernel steers on by what it applied last; new blocks are not steered.",
    ),
  );
  return null;
}

async function examineSystem(
  options: RouterOptions,
  table: SteeringTable | null,
  isPrivileged: boolean,
): Promise<void> {
  const { config } = options;
  const askTable = async (): Promise<SteeringTable | null> => {
    if (table === null) return null;
    const answer = await askPool(options);
    return "table" in answer ? answer.table : null;
  };
  try {
    const holders = new Set(table?.entries.map(({ host }) => host));
    for (const finding of machineFindings(await observeMachine(config, table?.ips ?? [], holders)))
      tell(finding);
    await examineKernel(options, askTable);
    if (table === null)
      return tell(unknown("Without the pool's table it is unknown which hosts should be there."));
    for (const finding of contactFindings(await contactHosts(config, table))) tell(finding);
  } catch (fault) {
    tell(kernelFaultFinding(fault, isPrivileged));
  }
}

/** By whichever back end steers; what is to be, when none does. */
async function examineKernel(
  { config, steering }: RouterOptions,
  askTable: () => Promise<SteeringTable | null>,
): Promise<void> {
  const xdp = steering === "nft" ? null : await observeXdp(config, askTable);
  if (xdp === null && steering === "xdp") {
    for (const finding of absenceFindings(config, await listLinks(PLAIN_COMMANDS.ip))) tell(finding);
    return;
  }
  const kernel = xdp ?? (await observeKernel(config, askTable));
  const findings = "modes" in kernel ? xdpFindings(kernel) : kernelFindings(kernel);
  for (const finding of findings) tell(finding);
  tell(dropFinding(kernel));
}

/** What only root can tell. */
function hidden(pids: readonly number[]): Finding {
  const place = "whether it is of this network, and how it was started";
  return unknown(
    `A router runs (pid ${pids.join(", ")}), but only root sees ${place}: sudo npx ipshard doctor router`,
  );
}

/** Of several routers the operator has to say which. */
function onlyOne({ seen }: RunningRouters): RunningRouter | null {
  if (seen.length <= 1) return seen[0] ?? null;
  const pids = seen.map(({ pid }) => pid).join(", ");
  throw new CommandFault("option-invalid", `Several routers run here (${pids}): give the options of one.`);
}

/** The options that a router does not have, and the rest. */
async function readTrip(args: readonly string[]): Promise<{ trip: Trip; rest: readonly string[] }> {
  const command = ROUTER_DOCTOR.withOwnOptions(
    newCommand(ROUTER_DOCTOR.name, "", () => {}).allowUnknownOption(),
  );
  const { operands, unknown: rest } = command.parseOptions([...args]);
  const { to, clientTokenFile, json } = command.opts<{
    to?: string;
    clientTokenFile?: string;
    json?: true;
  }>();
  if (json === true) tellMachines();
  if ((to === undefined) !== (clientTokenFile === undefined)) {
    throw optionInvalid("--to and --client-token-file belong together.");
  }
  if (to === undefined || clientTokenFile === undefined) return { trip: null, rest: [...operands, ...rest] };
  const token = await (await EdgeToken.open(clientTokenFile, "client")).read();
  return { trip: { to, token }, rest: [...operands, ...rest] };
}

function write(text: string): void {
  process.stdout.write(text);
}

async function examineOne(words: readonly string[]): Promise<void> {
  const { trip, rest: args } = await readTrip(words);
  const running = await runningRouters();
  if (args.length === 0) {
    const router = onlyOne(running);
    if (router !== null) return examine(router.options, router, trip);
    if (running.hiddenPids.length > 0) return tell(hidden(running.hiddenPids));
    return tell(
      problem(
        "No router runs on this machine. Start ipshard router; or give its options here, to see why it cannot.",
      ),
    );
  }
  const said = await configured("router", routerCommand(write, ROUTER_DOCTOR), args);
  const given = readConfigured(said, () => parseCommandLine(said.args, write, ROUTER_DOCTOR));
  if (given === null) return;
  const options = withPathsFrom(process.cwd(), given);
  const own = running.seen.find((router) => router.options.stateDirectory === options.stateDirectory);
  await examine(options, own ?? (running.hiddenPids.length > 0 ? "hidden" : null), trip);
}

await begin(ROUTER_DOCTOR.name, async () => {
  try {
    await examineOne(process.argv.slice(2));
  } catch (fault) {
    if (fault instanceof CommandFault) throw fault;
    tell(unknown(`It could not be found out: ${fault instanceof Error ? fault.message : String(fault)}.`));
  }
});
