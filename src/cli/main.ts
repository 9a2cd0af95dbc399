/** The command line: it collects the verbs, each of which says in its own file what it is called and takes. */
import { Command } from "commander";
import { begin } from "../process/command-fault.ts";
import { commandFault } from "./output/faults.ts";
import { agent } from "./verbs/agent.ts";
import { audit } from "./verbs/audit.ts";
import { doctor } from "./verbs/doctor.ts";
import { EDGE_COPY_VERBS } from "./edge/copy-verbs.ts";
import { edge } from "./verbs/edge.ts";
import { host } from "./verbs/host.ts";
import { ip } from "./verbs/ip.ts";
import { keys } from "./verbs/keys.ts";
import { plan } from "./verbs/plan.ts";
import { policy } from "./verbs/policy.ts";
import { pool } from "./verbs/pool.ts";
import { router } from "./verbs/router.ts";
import { start } from "./verbs/start.ts";
import { token } from "./verbs/token.ts";
import { who } from "./verbs/who.ts";
import { withCompletion } from "./verbs/complete.ts";
import { context } from "./verbs/context.ts";
import { fetch } from "./verbs/fetch.ts";
import { lease } from "./verbs/lease.ts";
import { login } from "./verbs/login.ts";
import { map } from "./verbs/map.ts";
import { apply } from "./verbs/apply.ts";
import { configured } from "../process/configuration.ts";
import { refusalOf } from "../process/command-options.ts";
import { config } from "./verbs/config.ts";
import { top } from "./verbs/top.ts";
import { packageVersion } from "./version.ts";

const program = new Command("ipshard")
  .description("One shared egress IP address over many hosts, with the port as the sharding key.")
  .version(packageVersion(), "-V, --version", "print the version");

const verbs = [
  start,
  edge,
  agent,
  router,
  doctor,
  login,
  context,
  pool,
  ip,
  host,
  lease,
  map,
  top,
  audit,
  who,
  fetch,
  keys,
  token,
  policy,
  apply,
  config,
  plan,
];
// What follows such a verb is its own, also where the edge has an option of that name.
program.enablePositionalOptions();
edge.enablePositionalOptions();
for (const verb of EDGE_COPY_VERBS) edge.addCommand(verb);
for (const verb of verbs) program.addCommand(verb);
withCompletion(program, process.argv.slice(2));

await begin("ipshard", async () => {
  try {
    await parse(process.argv.slice(2));
    process.exitCode ??= 0;
  } catch (fault) {
    throw commandFault(fault);
  }
});

/** The edge may be told by a file, too, as agents and routers are; all others have contexts. */
async function parse(args: readonly string[]): Promise<void> {
  const isOfCopies = EDGE_COPY_VERBS.some((verb) => verb.name() === args[1]);
  if (args[0] !== "edge" || isOfCopies) return void (await program.parseAsync(args, { from: "user" }));
  const said = await configured("edge", edge, args.slice(1));
  edge.exitOverride().configureOutput({ writeErr: () => {} });
  try {
    await program.parseAsync(["edge", ...said.args], { from: "user" });
  } catch (fault) {
    throw said.locate(refusalOf(fault));
  }
}
