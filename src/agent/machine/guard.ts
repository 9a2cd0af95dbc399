/**
 * Keeps the kernel's guard in step with the leases of this host.
 *
 * At every change of blocks or term the lease keeper of an address says what may leave now. The
 * kernel has it once the promise is fulfilled, and a new block may be used only then.
 * Calls that come while the kernel is being told are gathered into the next transaction.
 *
 * The end of a lease needs no call: the kernel's own timeouts end it. [GU3] And the guard outlives
 * its agent: a machine whose agent has ended, in whatever way, still has the shared address, and
 * must not send from it until the address is gone.
 */
import { createServer, isIPv6, type Server } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { Family } from "../../core/address-family.ts";
import { parseListing } from "../../linux/nftables/listing.ts";
import type { TableFamily } from "../../linux/nftables/statements.ts";
import { outliveClients } from "../../process/listener.ts";
import type { ClockReading, LeaseTerm } from "../../core/lease-term.ts";
import { type PortBlock, UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { fragmentProbe, fragmentText, listDevices, transitDevices } from "./guard-devices.ts";
import {
  frameText,
  GUARD_TABLE,
  guardProbes,
  haveSameRules,
  nameOfAddress,
  type Permission,
  permissionText,
  removalText,
  termText,
  type Transit,
  transitText,
} from "./guard-ruleset.ts";
import { type FoundAddress, type GuardKernel, GuardWishes } from "./guard-wishes.ts";
import { NftSession } from "../../linux/nft-session.ts";
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import { mayAdministerNetwork } from "../../process/privileges.ts";

/** Whether the kernel can be told here, or why not, in words that follow "since". */
export type GuardAvailability = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Asks the kernel for its tables. */
export async function guardAvailability(): Promise<GuardAvailability> {
  if (process.platform !== "linux") return { ok: false, reason: "this is not Linux" };
  try {
    await runCommand(["nft", "list", "tables"]);
    return { ok: true };
  } catch (fault) {
    if (fault instanceof KernelFault && fault.code === "command-missing") {
      return { ok: false, reason: "nftables is not installed" };
    }
    const reason = mayAdministerNetwork() ? (fault as Error).message : "the agent does not run as root";
    return { ok: false, reason };
  }
}

/** Whether packets from an address can leave the machine at all. Loopback addresses cannot. */
export function needsGuard(ip: string): boolean {
  return isIPv6(ip) ? ip !== "::1" : !ip.startsWith("127.");
}

/** What was dropped with one source address since the guard is in this kernel, in packets. */
export interface GuardCount {
  readonly ip: string;
  /** From ports that were not leased, and whatever else had no leased port. */
  readonly foreignPortCount: number;
  readonly fragmentCount: number;
}

/** The one guard of this machine. */
export class Guard {
  readonly #lock: Server;
  readonly #session: NftSession;
  #found: readonly Found[];
  readonly #wishes: GuardWishes;
  /** What the kernel was told last in this life, address by address. */
  readonly #told = new Map<string, Permission>();
  #fragmentFault: Error | null = null;
  /** The devices on which fragments are caught. */
  #devices: readonly string[] = [];
  #transit: Transit;

  private constructor(clock: () => ClockReading, held: Held) {
    this.#lock = held.lock;
    this.#session = held.session;
    this.#found = held.found;
    this.#transit = held.transit;
    const kernel: GuardKernel = {
      permit: (permissions) => this.#permit(permissions),
      rebuild: (permissions) => this.#rebuild(permissions),
      isInForce: () => this.#session.isPossible(guardProbes(this.#told.keys()).join("; ")),
    };
    this.#wishes = new GuardWishes(clock, kernel, held.found);
  }

  /**
   * Puts the guard into the kernel. What an earlier agent had allowed stays until its end, for
   * the leases are still this machine's. Throws `guard-in-use` while another agent has it: two
   * would undo each other's rules.
   */
  static async open(clock: () => ClockReading): Promise<Guard> {
    const lock = await takeLock();
    const session = new NftSession();
    try {
      const transit = await transitDevices();
      await session.run(statement(frameText(transit)));
      return new Guard(clock, { lock, session, transit, found: await readFound(session) });
    } catch (fault) {
      lock.close();
      await session.close();
      throw fault;
    }
  }

  /** Whether the kernel guarded this address when this object was made: an earlier agent's doing. */
  knows(ip: string): boolean {
    return this.#found.some((found) => found.ip === ip);
  }

  /** The units of an earlier agent that were for translation and still allowed when this object was made. [GU5] */
  translatedUnits(ip: string): readonly number[] {
    return this.#found.find((found) => found.ip === ip)?.translated ?? [];
  }

  /**
   * Whether translated flows of an earlier agent go on until the kernel itself ends them. Static slots have no
   * end, and may have become another host's meanwhile. [MA4]
   */
  hasRunningFlows(ip: string): boolean {
    const found = this.#found.find((address) => address.ip === ip);
    return found !== undefined && found.hasEnd && found.translated.length > 0;
  }

  /** Why fragments are not caught on the devices (kernels before 5.16 cannot); null if they are. */
  get fragmentFault(): Error | null {
    return this.#fragmentFault;
  }

  /** As `GuardWishes.allow`. */
  allow(ip: string, blocks: readonly PortBlock[], term: LeaseTerm | null): Promise<void> {
    return this.#wishes.allow(ip, blocks, term);
  }

  /** Units that an earlier agent translated are like all others from now on: this one translates nothing. */
  forgetTranslated(): void {
    for (const { ip, translated } of this.#found) if (translated.length > 0) void this.translate(ip, []);
    this.#found = this.#found.map(({ ip, hasEnd }) => ({ ip, hasEnd, translated: [] }));
  }

  /** As `GuardWishes.translate`; units are counted from port 0, 64 ports each. [GU9] */
  translate(ip: string, units: readonly number[]): Promise<void> {
    return this.#wishes.translate(ip, units);
  }

  /**
   * Puts the guard back if another program has taken it out of the kernel, as `nft flush ruleset`
   * does when a firewall is loaded anew. Says whether it was gone. [GU8] Devices that have come
   * since the last time are taken in.
   */
  async restore(): Promise<boolean> {
    const wasGone = await this.#wishes.restore();
    await this.#renewDevices();
    return wasGone;
  }

  /** What was dropped so far, address by address. */
  async counts(): Promise<GuardCount[]> {
    const counters = [
      ...(await readCounters(this.#session, "inet")),
      ...(await readCounters(this.#session, "netdev")),
    ];
    const sum = (name: string): number =>
      counters.reduce((total, counter) => total + (counter.name === name ? counter.packets : 0), 0);
    return [...this.#wishes.addresses].map((ip) => ({
      ip,
      foreignPortCount: sum(`${nameOfAddress(ip)}_ports`),
      fragmentCount: sum(`${nameOfAddress(ip)}_fragments`),
    }));
  }

  /** Allows nothing more, and leaves it so. */
  async close(): Promise<void> {
    await Promise.all([...this.#wishes.addresses].map((ip) => this.allow(ip, [], null)));
    await this.#session.close();
    this.#lock.close();
  }

  /** Takes the guard out of the kernel: for when the addresses are off this machine. The end of this object. */
  async remove(): Promise<void> {
    await this.#wishes.settled();
    await this.#session.run(statement(removalText()));
    await this.#session.close();
    this.#lock.close();
  }

  async #permit(permissions: readonly Permission[]): Promise<void> {
    const text = permissions.map((permission) => {
      const told = this.#told.get(permission.ip);
      return told !== undefined && haveSameRules(told, permission)
        ? termText(permission)
        : permissionText(permission);
    });
    await this.#tell(text.join(""), permissions);
    const isNew = permissions.some(({ ip }) => !this.#wishes.addresses.has(ip));
    if (isNew) await this.#catchFragments(permissions);
  }

  async #rebuild(permissions: readonly Permission[]): Promise<void> {
    const text = permissions.map(permissionText).join("");
    await this.#tell(frameText(this.#transit) + text, permissions);
    await this.#catchFragments(permissions);
  }

  /** In one transaction. */
  async #tell(text: string, permissions: readonly Permission[]): Promise<void> {
    await this.#session.run(statement(text));
    for (const permission of permissions) this.#told.set(permission.ip, permission);
  }

  async #catchFragments(permissions: readonly Permission[]): Promise<void> {
    const ips = new Set([...this.#wishes.addresses, ...permissions.map(({ ip }) => ip)]);
    try {
      const devices = await listDevices();
      if (devices.length > 0) await this.#session.run(statement(fragmentText([...ips], devices)));
      this.#devices = devices;
      this.#fragmentFault = null;
    } catch (fault) {
      this.#fragmentFault = fault as Error;
    }
  }

  async #renewDevices(): Promise<void> {
    const transit = await transitDevices();
    if (!isDeepStrictEqual(transit, this.#transit)) {
      await this.#session.run(statement(transitText(transit)));
      this.#transit = transit;
    }
    if (this.#wishes.addresses.size === 0) return;
    const isCaught =
      isDeepStrictEqual(await listDevices(), this.#devices) &&
      (this.#devices.length === 0 || (await this.#session.isPossible(fragmentProbe())));
    if (!isCaught) await this.#catchFragments([]);
  }
}

interface Found extends FoundAddress {
  /** Whether the kernel ends by itself what is translated. */
  readonly hasEnd: boolean;
}

interface Held {
  readonly lock: Server;
  readonly session: NftSession;
  readonly transit: Transit;
  readonly found: readonly Found[];
}

/** Statements of which each has a line, in the one line of a transaction. */
function statement(text: string): string {
  return text.trimEnd().replaceAll("\n", "; ");
}

/** A name in the machine's network, which the kernel gives to one process and takes back at its end. */
function takeLock(): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  outliveClients(server);
  server.unref();
  return new Promise((resolve, reject) => {
    server.once("error", (fault) =>
      reject(new KernelFault("guard-in-use", "another agent on this machine has the guard", fault)),
    );
    server.listen(`\0${GUARD_TABLE}`, () => resolve(server));
  });
}

/** What an earlier agent left in the kernel. */
async function readFound(session: NftSession): Promise<Found[]> {
  const ips = [...(await readAddresses(session, 4)), ...(await readAddresses(session, 6))];
  return Promise.all(ips.map((ip) => readTranslated(session, ip)));
}

/** The addresses of a family that are guarded in the kernel. */
async function readAddresses(session: NftSession, family: Family): Promise<string[]> {
  return (await readSet(session, `shared${family}`)) as string[];
}

/** None under a guard of a version that had no translation. */
async function readTranslated(session: NftSession, ip: string): Promise<Found> {
  const elements = (await readSet(session, `${nameOfAddress(ip)}_translated`)) as ListedElement[];
  const bases = elements.map((element) => (typeof element === "number" ? element : element.elem.val));
  const translated = bases.map((base) => base / UNIT_PORT_COUNT).toSorted((a, b) => a - b);
  return { ip, translated, hasEnd: elements.every((element) => typeof element !== "number") };
}

/** With a timeout, and without one. */
type ListedElement = { readonly elem: { readonly val: number } } | number;

async function readSet(session: NftSession, name: string): Promise<readonly unknown[]> {
  const text = await session.list(["list", "set", "inet", GUARD_TABLE, name]);
  if (text === null) return [];
  return parseListing(text).flatMap(({ set }) => (set?.["elem"] as unknown[] | undefined) ?? []);
}

async function readCounters(
  session: NftSession,
  family: TableFamily,
): Promise<{ readonly name: string; readonly packets: number }[]> {
  const listing = session.list(["list", "counters", "table", family, GUARD_TABLE]);
  // The kernel may not even know the family of the second table.
  const text = await (family === "netdev" ? listing.catch(() => null) : listing);
  if (text === null) return [];
  return parseListing(text).flatMap(({ counter }) =>
    counter === undefined ? [] : [counter as { name: string; packets: number }],
  );
}
