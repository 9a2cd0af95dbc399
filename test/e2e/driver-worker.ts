/** A Worker that asks databases through the egress, by the drivers of npm; bundled for workerd. */
import postgres from "postgres";
import { createEgress, type ConnectOptions, EgressError } from "../../src/sdk/egress.ts";
import { NodeSocket } from "../../src/sdk/node/node-socket.ts";
import { askByPg, askByPostgres, askByRedis, type DatabaseCall, type DriverResult } from "./driver-calls.ts";
import { connectsBy } from "./driver-worker-sockets.ts";

/** What is to be done. */
export interface WorkerCall extends DatabaseCall {
  readonly driver: "pg" | "postgres" | "redis" | "refused" | "abandon";
  readonly isSecure: boolean;
  readonly edge: string;
  readonly token: string;
  /** What the certificate is for. */
  readonly certificateName: string;
}

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "GET") return new Response("ready");
    const call = await request.json();
    try {
      return Response.json(await answer(call as WorkerCall));
    } catch (fault) {
      const { name, code, message, stack } = fault as EgressError;
      return Response.json({ name, code, message, stack }, { status: 500 });
    }
  },
};

async function answer(call: WorkerCall): Promise<DriverResult | object> {
  const { edge, token, host, port, isSecure, certificateName } = call;
  const egress = createEgress({ endpoint: edge, token });
  const stream = (options: ConnectOptions): NodeSocket =>
    new NodeSocket(egress.connect({ hostname: host, port }, options));
  switch (call.driver) {
    case "pg": {
      const secureTransport = isSecure ? "starttls" : "off";
      const ssl = isSecure ? { servername: certificateName } : false;
      return askByPg(call, () => stream({ secureTransport }), ssl);
    }
    case "postgres":
      // It asks `cloudflare:sockets` for its connection, for which this Worker has another module.
      connectsBy(egress, certificateName);
      return askByPostgres(
        postgres({
          ...call,
          database: "postgres",
          ssl: isSecure ? "require" : false,
          max: 1,
          fetch_types: false,
        }),
      );
    case "redis": {
      const how: ConnectOptions = isSecure
        ? { secureTransport: "on", expectedServerHostname: certificateName }
        : {};
      return askByRedis(call, () => stream(how), isSecure);
    }
    case "abandon": {
      // Neither closed nor read: what a Worker leaves when it has given its answer.
      const { egress: departure } = await egress.connect({ hostname: host, port }).opened;
      return departure;
    }
    case "refused": {
      const socket = egress.connect({ hostname: host, port });
      const why = await socket.opened.then(
        () => null,
        (fault: EgressError) => ({
          code: fault.code,
          status: fault.status,
          isOurs: fault instanceof EgressError,
        }),
      );
      return { ...why };
    }
  }
}
