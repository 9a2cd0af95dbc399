/** Looks before a start whether every address and port is there to be listened on. [CI9] */
import { once } from "node:events";
import { createServer } from "node:net";
import { CommandFault } from "../../process/command-fault.ts";

/** A place to listen, and what for. */
export interface Listening {
  readonly host: string;
  readonly port: number;
  readonly purpose: string;
}

/** Throws `port-taken` or `address-missing` for the first that cannot be listened on. */
export async function refuseIfTaken(places: readonly Listening[], advice: string): Promise<void> {
  for (const place of places) {
    const code = await tryListening(place.host, place.port);
    if (code === null) continue;
    if (code === "EADDRNOTAVAIL") throw addressMissing(place.host, process.platform);
    const why = code === "EADDRINUSE" ? "is taken by another program" : `cannot be listened on (${code})`;
    throw new CommandFault(
      "port-taken",
      `Port ${place.port} on ${place.host} ${why}; it is wanted for ${place.purpose}. ${advice}`,
    );
  }
}

/** Throws `address-missing` if this machine cannot send from an address. */
export async function refuseIfMissing(addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    if ((await tryListening(address, 0)) !== null) throw addressMissing(address, process.platform);
  }
}

/** What to say, by operating system, of a loopback address that is not there. */
export function addressMissing(address: string, platform: NodeJS.Platform): CommandFault {
  const remedy =
    platform === "darwin"
      ? `On macOS, add it with: sudo ifconfig lo0 alias ${address} up`
      : `Add it to a network device, such as: ip address add ${address}/32 dev lo`;
  return new CommandFault("address-missing", `This machine has no address ${address}. ${remedy}`);
}

async function tryListening(host: string, port: number): Promise<string | null> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, "listening");
    return null;
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code ?? "UNKNOWN";
  } finally {
    await new Promise((resolve) => {
      server.close(resolve);
    });
  }
}
