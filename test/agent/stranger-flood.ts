/** Clients that connect and then say nothing, or not enough, as many as there are sockets for. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Clients that were silent. */
export interface Flood {
  readonly count: number;
  /** How many are connected still. */
  readonly openCount: () => number;
  readonly close: () => void;
}

/** What they are like. */
export interface FloodOptions {
  readonly port: number;
  readonly host?: string;
  readonly count: number;
  /** What each says before it falls silent. */
  readonly bytes?: Buffer | string;
  /** From how many addresses they come: 127.0.2.1 and those that follow. */
  readonly addressCount?: number;
  /** Whether they make TLS first, and what is spoken within. */
  readonly tls?: { readonly ca: string; readonly protocols: readonly string[] };
}

const AT_A_TIME = 100;

/** Opens all of them, some at a time; those that are reset meanwhile have been there. */
export async function flood({
  port,
  host = "127.0.0.1",
  count,
  bytes,
  addressCount = 32,
  tls,
}: FloodOptions): Promise<Flood> {
  const open = new Set<Socket>();
  let begun = 0;
  const one = async (localAddress: string): Promise<void> => {
    const place = { port, host, localAddress };
    const raw = connect(place);
    const socket =
      tls === undefined ? raw : connectTls({ socket: raw, ca: tls.ca, ALPNProtocols: [...tls.protocols] });
    open.add(raw);
    raw.on("error", () => {});
    socket.on("error", () => {});
    socket.resume();
    raw.once("close", () => open.delete(raw));
    await new Promise<void>((resolve) => {
      socket.once(tls === undefined ? "connect" : "secureConnect", resolve);
      raw.once("close", resolve);
    });
    if (bytes !== undefined && !socket.destroyed) socket.write(bytes);
  };
  const lane = async (): Promise<void> => {
    while (begun < count) {
      begun += 1;
      await one(`127.0.2.${1 + (begun % addressCount)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  return {
    count,
    openCount: () => open.size,
    close: () => {
      for (const socket of open) socket.destroy();
    },
  };
}
