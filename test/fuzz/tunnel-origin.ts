/** The far ends of the soak of tunnels: the first bytes that come through a tunnel name its plan. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { ORIGIN_IPS } from "./target.ts";
import type { TunnelPlan } from "./tunnel-plan.ts";
import { TunnelSide } from "./tunnel-side.ts";

/** How a plan is named: its number in so many digits. */
export const NAME_LENGTH = 8;
/** Towards each of them a host has all its ports. */
const PORTS_EACH = 4;

/** Where tunnels lead. */
export interface TunnelOrigin {
  readonly places: readonly { readonly ip: string; readonly port: number }[];
  readonly resettingPort: number;
  readonly plans: Map<number, TunnelPlan>;
  /** How the far ends fared whose tunnel stood, until their client takes it. */
  readonly sides: Map<number, TunnelSide>;
  /** Connections that are open. */
  readonly openCount: () => number;
  readonly close: () => void;
}

/** Starts all of them. */
export async function startTunnelOrigin(): Promise<TunnelOrigin> {
  const sockets = new Set<Socket>();
  const plans = new Map<number, TunnelPlan>();
  const sides = new Map<number, TunnelSide>();
  const servers: Server[] = [];
  const listen = async (ip: string, onSocket: (socket: Socket) => void): Promise<number> => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => sockets.delete(socket));
      onSocket(socket);
    });
    servers.push(server);
    server.listen(0, ip, 4096);
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  const places: { ip: string; port: number }[] = [];
  for (const ip of ORIGIN_IPS) {
    for (let count = 0; count < PORTS_EACH; count += 1) {
      places.push({ ip, port: await listen(ip, (socket) => serve(socket, plans, sides)) });
    }
  }
  const resettingPort = await listen(ORIGIN_IPS[0], (socket) => socket.resetAndDestroy());
  return {
    places,
    resettingPort,
    plans,
    sides,
    openCount: () => sockets.size,
    close: () => {
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
    },
  };
}

function serve(socket: Socket, plans: ReadonlyMap<number, TunnelPlan>, sides: Map<number, TunnelSide>): void {
  let read: Buffer = Buffer.alloc(0);
  const onEnd = (): void => void socket.end();
  const onData = (chunk: Buffer): void => {
    read = Buffer.concat([read, chunk]);
    if (read.length < NAME_LENGTH) return;
    socket.off("data", onData);
    socket.off("end", onEnd);
    const id = Number(read.toString("latin1", 0, NAME_LENGTH));
    const plan = plans.get(id);
    if (plan === undefined) {
      socket.destroy();
      return;
    }
    const side = new TunnelSide(socket, plan.origin);
    sides.set(id, side);
    side.begin(read.subarray(NAME_LENGTH));
  };
  socket.on("data", onData);
  socket.once("end", onEnd);
}
