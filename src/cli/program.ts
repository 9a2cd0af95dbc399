/** The program: it collects the verbs, each of which says in its own file what it is called and takes. */
import { agent } from "./verbs/agent.ts";
import { audit } from "./verbs/audit.ts";
import { dashboard } from "./verbs/dashboard.ts";
import { doctor } from "./verbs/doctor.ts";
import { edge } from "./verbs/edge.ts";
import { events } from "./verbs/events.ts";
import { host } from "./verbs/host.ts";
import { ip } from "./verbs/ip.ts";
import { EDGE_COPY_VERBS } from "./edge/copy-verbs.ts";
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
import { config } from "./verbs/config.ts";
import { top } from "./verbs/top.ts";
import { newVerb } from "./options.ts";
import { packageVersion } from "../process/version.ts";

/** All of it, to be parsed once. */
export const program = newVerb(
  "ipshard",
  "One shared egress IP address over many hosts, with the port as the sharding key.",
).version(packageVersion(), "-V, --version", "print the version");

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
  dashboard,
  audit,
  events,
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
