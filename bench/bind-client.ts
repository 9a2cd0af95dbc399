/**
 * The measuring half of the `bind` bench: fills an address towards one destination, by turns
 * with ports that our binder chooses and ports that the kernel chooses, and times each
 * connection in a window that ends at each occupancy.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer, connect, type Socket } from "node:net";
import { UNMETERED } from "../src/agent/egress/flow-use.ts";
import { AddressPorts } from "../src/agent/egress/address-ports.ts";
import { AddressRules } from "../src/policy/address-rules.ts";
import { DestinationPolicy } from "../src/policy/destination-policy.ts";
import { Dialler } from "../src/agent/egress/dial.ts";
import { Resolver } from "../src/agent/egress/resolver.ts";

/** The ports in question: four blocks of 4,096, as many as one process may hold sockets for. */
export const FIRST_PORT = 32_768;
export const PORT_COUNT = 16_384;
const BLOCK_ORDER = 12;
/** Shares of the ports at which a connection is timed. */
export const OCCUPANCIES = [0.01, 0.5, 0.9, 0.99, 0.999] as const;
const ROUND_COUNT = 6;
/** Connections timed before each occupancy, but no more than lie between it and full. */
const WINDOW = 160;

const SOURCE = "127.0.0.10";
const DESTINATION = "127.0.0.20";
const SERVER_PORT = 20_001;

/** Microseconds per connection, by occupancy. */
export interface ClientReport {
  readonly ours: Record<string, number[]>;
  readonly kernel: Record<string, number[]>;
  readonly usedPortCount: number;
  readonly roundCount: number;
}

type Open = () => Promise<Socket>;

async function fill(open: Open, into: Record<string, number[]>): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const windows = OCCUPANCIES.map((occupancy) => {
    const end = Math.floor(PORT_COUNT * occupancy);
    return { occupancy, first: end - Math.min(WINDOW, PORT_COUNT - end, end), end };
  });
  for (let count = 0; count < PORT_COUNT; count += 1) {
    const startedAt = performance.now();
    sockets.push(await open());
    const elapsedUs = (performance.now() - startedAt) * 1000;
    const window = windows.find(({ first, end }) => count >= first && count < end);
    if (window) into[String(window.occupancy)]!.push(elapsedUs);
  }
  return sockets;
}

async function closeAll(sockets: readonly Socket[]): Promise<void> {
  const closed = sockets.map((socket) => once(socket, "close"));
  // RST leaves no TIME_WAIT behind, so that the next turn begins with every port free.
  for (const socket of sockets) socket.resetAndDestroy();
  await Promise.all(closed);
}

async function run(): Promise<ClientReport> {
  const server = fork(import.meta.filename, ["--serve"]);
  const [{ port }] = (await once(server, "message")) as [{ port: number }];
  const report = {
    ours: Object.fromEntries(OCCUPANCIES.map((occupancy) => [String(occupancy), [] as number[]])),
    kernel: Object.fromEntries(OCCUPANCIES.map((occupancy) => [String(occupancy), [] as number[]])),
    usedPortCount: PORT_COUNT,
    roundCount: ROUND_COUNT,
  };
  const openByKernel: Open = async () => {
    // With the options that every socket of ours has, so that the choice of the port is all that differs.
    const socket = connect({
      host: DESTINATION,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    });
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  for (let round = 0; round < ROUND_COUNT; round += 1) {
    const address = new AddressPorts(SOURCE);
    for (let base = FIRST_PORT; base < FIRST_PORT + PORT_COUNT; base += 2 ** BLOCK_ORDER) {
      address.addBlock({ base, order: BLOCK_ORDER, epoch: base });
    }
    address.setTerm({ monotonicEndMs: performance.now() + 3_600_000, wallEndMs: Date.now() + 3_600_000 });
    const dialler = new Dialler(new Resolver(), { connectTimeoutMs: 10_000, portWaitMs: 0 });
    const policy = new DestinationPolicy({ addresses: new AddressRules({ allowed: ["127.0.0.0/8"] }) });
    const openByUs: Open = async () => {
      const { socket } = await dialler.dial(
        { pool: "main", tenant: "test", address, policy, meter: UNMETERED },
        DESTINATION,
        port,
      );
      socket.on("error", () => {});
      return socket;
    };
    const sockets = await fill(openByUs, report.ours);
    const used = new Set(sockets.map((socket) => socket.localPort));
    report.usedPortCount = Math.min(report.usedPortCount, used.size);
    await closeAll(sockets);
    address.close();
    await closeAll(await fill(openByKernel, report.kernel));
  }
  server.kill("SIGTERM");
  return report;
}

function serve(): void {
  const server = createServer((socket) => socket.on("error", () => {}));
  // Outside the ports in question: the kernel does not choose a port that somebody has bound.
  server.listen({ port: SERVER_PORT, host: DESTINATION, backlog: 4096 }, () => {
    process.send?.({ port: (server.address() as { port: number }).port });
  });
  process.on("disconnect", () => process.exit(0));
}

if (process.argv.includes("--serve")) serve();
if (process.argv.includes("--run")) {
  process.stdout.write(JSON.stringify(await run()));
  process.exit(0);
}
