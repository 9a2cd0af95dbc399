/**
 * What the machine itself knows of the way out: whether there is a route from an address to a
 * place, and whether the device that it leads to is up. Cheap enough to be asked each second:
 * connecting a datagram socket makes the kernel look for a route, and sends nothing. [UP8]
 */
import { createSocket } from "node:dgram";
import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import type { Place } from "../../core/uplink.ts";
import { runCommand } from "../../linux/kernel-commands.ts";
import { monotonicMs } from "../../process/clock.ts";

/** Knows links and routes. */
export interface LinkView {
  /** False when a packet from the address to the place would not leave the machine. */
  isUp(ip: string, place: Place): Promise<boolean>;
}

/** A route may come to lead to another device. */
const DEVICE_LASTS_MS = 30_000;
const DOWN: ReadonlySet<string> = new Set(["down", "lowerlayerdown", "notpresent"]);
const NO_ROUTE: ReadonlySet<string> = new Set(["ENETUNREACH", "EHOSTUNREACH", "EACCES", "ENETDOWN"]);

/** This machine's, by its kernel. */
export class KernelLinkView implements LinkView {
  readonly #devices = new Map<string, { readonly device: string | null; readonly askedAtMs: number }>();

  async isUp(ip: string, place: Place): Promise<boolean> {
    if (!(await isRouted(ip, place))) return false;
    const device = await this.#deviceTowards(ip, place);
    if (device === null) return true;
    try {
      return !DOWN.has((await readFile(`/sys/class/net/${device}/operstate`, "utf8")).trim());
    } catch {
      // It may have been renamed: the route is asked for again.
      this.#devices.delete(ip);
      return true;
    }
  }

  async #deviceTowards(ip: string, place: Place): Promise<string | null> {
    const known = this.#devices.get(ip);
    if (known !== undefined && monotonicMs() - known.askedAtMs < DEVICE_LASTS_MS) return known.device;
    const device = await deviceTowards(ip, place);
    this.#devices.set(ip, { device, askedAtMs: monotonicMs() });
    return device;
  }
}

/** Null where nobody can tell. */
async function deviceTowards(ip: string, place: Place): Promise<string | null> {
  try {
    const listed = await runCommand(["ip", "-j", "route", "get", place.ip, "from", ip]);
    const [route] = JSON.parse(listed) as { readonly dev?: string }[];
    return route?.dev ?? null;
  } catch {
    return null;
  }
}

function isRouted(ip: string, place: Place): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket({ type: isIPv6(ip) ? "udp6" : "udp4", ipv6Only: isIPv6(ip) });
  const end = (fault: NodeJS.ErrnoException | undefined): void => {
    resolve(!NO_ROUTE.has(fault?.code ?? ""));
    socket.close();
  };
  // It stays: a socket must never be without a listener for its faults.
  let isOver = false;
  const endOnce = (fault?: Error): void => {
    if (isOver) return;
    isOver = true;
    end(fault);
  };
  socket.on("error", endOnce);
  socket.bind({ address: ip, port: 0, exclusive: true }, () => {
    socket.connect(place.port, place.ip, endOnce);
  });
  return promise;
}
