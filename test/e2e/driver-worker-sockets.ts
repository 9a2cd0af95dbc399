/** Stands for `cloudflare:sockets` in the bundle of a Worker whose connections are to leave by the egress. */
import type { ConnectTarget } from "../../src/wire/connect-target.ts";
import type { ConnectOptions, Egress, EgressSocket, EgressTlsOptions } from "../../src/sdk/egress.ts";

let connecting: ((to: string | ConnectTarget, options?: ConnectOptions) => EgressSocket) | null = null;

/** By which egress; certificates are to be for this name. */
export function connectsBy(egress: Egress, certificateName: string): void {
  connecting = (to, options) => {
    const socket = egress.connect(to, options);
    const startTls = socket.startTls.bind(socket);
    const withName = (how: EgressTlsOptions = {}): EgressSocket =>
      startTls({ expectedServerHostname: certificateName, ...how });
    return Object.defineProperty(socket, "startTls", { value: withName });
  };
}

/** As the runtime's. */
export function connect(to: string | ConnectTarget, options?: ConnectOptions): EgressSocket {
  if (connecting === null) throw new TypeError("No egress was named.");
  return connecting(to, options);
}
