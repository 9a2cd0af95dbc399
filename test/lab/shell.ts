/** `npm run lab -- --shell`: a whole ipshard in its laboratory, for a person to look around in. */
import { once } from "node:events";
import { Deployment, POOL } from "./deployment.ts";
import { draw } from "./drawing.ts";
import { EDGE_URL, ORIGIN_PORT } from "./edge-side.ts";
import { ORIGINS_IPV4, type Role, rolesOf, SHARED_IPV4 } from "./plan.ts";

/** Lets it stand until the person has seen enough, or is gone. */
export async function lookAround(): Promise<void> {
  // What is half built is removed by its caretaker.
  let onSignal = (): void => process.exit(130);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => onSignal());
  const deployment = await Deployment.start();
  const isInterrupted = new Promise<void>((resolve) => {
    onSignal = resolve;
  });
  try {
    console.log(await guide(deployment));
    await Promise.race([once(process.stdin, "data"), once(process.stdin, "end"), isInterrupted]);
  } finally {
    await deployment.destroy();
    process.stdin.destroy();
  }
}

/** Who is where, and what there is to see. */
async function guide(deployment: Deployment): Promise<string> {
  const { lab } = deployment;
  const inside = (role: Role, command: string): string =>
    `  ip netns exec ${lab.namespaceOf(role)} ${command}`;
  const client = await deployment.tokenFile("client", "you");
  const admin = await deployment.tokenFile("admin", "operator");
  const destination = `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen`;
  const bearer = (file: string): string => `Bearer $(cat ${file})`;
  const doctor = `npx ipshard doctor --allow-plain-http --edge ${EDGE_URL} --client-token-file ${client}`;
  return [
    draw(lab.size),
    "\nThe edge runs, both routers, an agent on each host, and a web server on the origins. Their logs",
    `and states are in ${lab.directory}. Enter a machine in another terminal:\n`,
    ...rolesOf(lab.size).map((role) => inside(role, "bash")),
    "\nFetch by a shared address, and see which host and port the origin saw:\n",
    inside(
      "edge",
      `curl -i -H "egress-authorization: ${bearer(client)}" -H 'egress: ip="${SHARED_IPV4}"' ` +
        `'${EDGE_URL}/v1/fetch?url=${destination}'`,
    ),
    "\nSee who holds which ports, and the routers of the pool:\n",
    inside("edge", `curl -H "authorization: ${bearer(admin)}" ${EDGE_URL}/v1/ips/${SHARED_IPV4}`),
    inside("edge", `curl -H "authorization: ${bearer(admin)}" ${EDGE_URL}/v1/pools/${POOL}`),
    "\nAsk what is wrong on a router and on a host:\n",
    inside("r1", "npx ipshard doctor router"),
    inside("h1", `${doctor} --gateway ${deployment.gatewayOf("h1")} --to ${destination}`),
    "\nIt stands until you press Enter.",
  ].join("\n");
}
