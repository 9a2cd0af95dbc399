/** Addresses of loopback at which a connection is neither accepted nor refused. */
import { once } from "node:events";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";

/** Listens on a port of each address and never accepts: what comes after two hangs. */
export async function startDeafServer(
  ips: readonly string[],
  port: number,
): Promise<{ readonly close: () => Promise<unknown> }> {
  // A thread that listens and never comes back to its event loop accepts nobody.
  const worker = new Worker(
    `const { parentPort, workerData } = require("node:worker_threads");
     const { createServer } = require("node:net");
     let left = workerData.ips.length;
     for (const host of workerData.ips) {
       createServer().listen({ port: workerData.port, host, backlog: 1 }, () => {
         if ((left -= 1) > 0) return;
         parentPort.postMessage("listening");
         setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
       });
     }`,
    { eval: true, workerData: { ips, port } },
  );
  await once(worker, "message");
  // Two fit in a queue of one; with these the queues are full.
  const fill = ips.flatMap((ip) => Array.from({ length: 4 }, () => connect(port, ip).on("error", () => {})));
  await Promise.all(fill.filter((_socket, at) => at % 4 < 2).map((socket) => once(socket, "connect")));
  return {
    close: () => {
      for (const socket of fill) socket.destroy();
      return worker.terminate();
    },
  };
}
