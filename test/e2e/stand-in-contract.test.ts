/** The real edge, held to the very contract that holds for `ipshard/testing`. */
import { once } from "node:events";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { afterAll, describe } from "vitest";
import { Agent, request } from "undici";
import {
  type ArrangedCall,
  type ArrangedRefusal,
  type ContractSubject,
  holdToContract,
} from "../testing/egress-contract.ts";
import { ToldOrigin } from "../testing/told-origin.ts";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";

const HOSTS = ["h1", "h2"];
/** As few as a host can have, so that all of them can be taken. */
const PORTS = 64;
const DENIED = "127.0.0.26";
const LIMITED_TENANT = "limited";

let cluster: Cluster | undefined;
let origin: ToldOrigin | undefined;
let full: ToldOrigin | undefined;
let echo: Server | undefined;
const holding = new Agent({ connections: null });

afterAll(async () => {
  await holding.destroy();
  await origin?.stop();
  await full?.stop();
  echo?.close();
  await cluster?.stop();
});

async function start(): Promise<ContractSubject> {
  const settings = { firstBlockOrder: 6, minPortsPerHost: PORTS, maxPortsPerHost: PORTS };
  const real = await Cluster.start({ hosts: HOSTS, settings, agentArgs: ["--allow=127.0.0.0/8"] });
  cluster = real;
  const { version } = await real.api.putPolicy({ pool: POOL, destinations: { deny: [DENIED] } });
  await real.api.putTenant({ pool: POOL, tenant: LIMITED_TENANT, limits: { requestsPerSecond: 0 } });
  await until("the hosts have the policy", async () => {
    const { hosts } = await real.api.listHosts({ pool: POOL });
    return hosts.every(({ policyVersion }) => (policyVersion ?? 0) > version);
  });
  const told = await ToldOrigin.start("127.0.0.20");
  origin = told;
  echo = createTcpServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, "127.0.0.21");
  await once(echo, "listening");
  return {
    endpoint: real.edgeUrl,
    token: await real.token("client", "tester"),
    ips: [EGRESS_IP],
    prohibited: "http://10.0.0.1/",
    echo: `127.0.0.21:${(echo.address() as AddressInfo).port}`,
    told: async (answer) => told.told(answer),
    seen: async (url) => told.seen(url),
    refusing: (code) => refusing(real, code),
  };
}

async function refusing(real: Cluster, code: ArrangedRefusal): Promise<ArrangedCall> {
  switch (code) {
    case "destination-denied":
      return { url: `http://${DENIED}:8080/` };
    case "requests-limited":
      return { url: "http://127.0.0.20:8080/", token: await real.token("client", LIMITED_TENANT) };
    case "lease-lost": {
      // Of an address that is not its own a host says what it says of one that it has lost. The edge would ask another.
      const { token } = await real.apiAs("client", "tester").makeGatewayToken();
      return {
        url: "http://127.0.0.20:8080/",
        endpoint: real.gatewayOf("h1"),
        token,
        egress: 'ip="127.0.0.99"',
      };
    }
    case "port-block-exhausted":
      return { url: await untilFull(real) };
  }
}

/** Holds every port of every host towards one destination. */
async function untilFull(real: Cluster): Promise<string> {
  if (full === undefined) {
    full = await ToldOrigin.start("127.0.0.22");
    const held = full.told({ body: "held", bodyAfterMs: 600_000 });
    const headers = await real.clientHeaders();
    const calls = Array.from({ length: HOSTS.length * PORTS }, async () => {
      const { statusCode } = await request(real.through(held), { headers, dispatcher: holding });
      return statusCode;
    });
    await Promise.all(calls);
  }
  return full.told({ body: "never" });
}

describe("[TE1] [TE2] [TE5] the real edge", () => {
  holdToContract(start);
});
