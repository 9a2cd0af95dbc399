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
import type { Family } from "../../core/address-family.ts";
import { parseListing } from "../../linux/nftables/listing.ts";
import { ruleProbe, type TableFamily } from "../../linux/nftables/statements.ts";
import { outliveClients } from "../../process/listener.ts";
import type { ClockReading, LeaseTerm } from "../../core/lease-term.ts";
import type { PortBlock } from "../../core/port-block.ts";
import {
  fragmentText,
  frameText,
  GUARD_TABLE,
  nameOfAddress,
  type Permission,
  permissionText,
  removalText,
} from "./guard-ruleset.ts";
import { type GuardKernel, GuardWishes } from "./guard-wishes.ts";
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
  readonly #wishes: GuardWishes;
  #fragmentFault: Error | null = null;

  private constructor(clock: () => ClockReading, lock: Server, addresses: Iterable<string>) {
    this.#lock = lock;
    const kernel: GuardKernel = {
      permit: (permissions) => this.#permit(permissions),
      rebuild: (permissions) => this.#rebuild(permissions),
      isInForce,
    };
    this.#wishes = new GuardWishes(clock, kernel, addresses);
  }

  /**
   * Puts the guard into the kernel. What an earlier agent had allowed stays until its end, for
   * the leases are still this machine's. Throws `guard-in-use` while another agent has it: two
   * would undo each other's rules.
   */
  static async open(clock: () => ClockReading): Promise<Guard> {
    const lock = await takeLock();
    try {
      await tellKernel(frameText());
      return new Guard(clock, lock, [...(await readAddresses(4)), ...(await readAddresses(6))]);
    } catch (fault) {
      lock.close();
      throw fault;
    }
  }

  /** Why fragments are not caught on the devices (kernels before 5.16 cannot); null if they are. */
  get fragmentFault(): Error | null {
    return this.#fragmentFault;
  }

  /** As `GuardWishes.allow`. */
  allow(ip: string, blocks: readonly PortBlock[], term: LeaseTerm | null): Promise<void> {
    return this.#wishes.allow(ip, blocks, term);
  }

  /**
   * Puts the guard back if another program has taken it out of the kernel, as `nft flush ruleset`
   * does when a firewall is loaded anew. Says whether it was gone. [GU8]
   */
  restore(): Promise<boolean> {
    return this.#wishes.restore();
  }

  /** What was dropped so far, address by address. */
  async counts(): Promise<GuardCount[]> {
    const counters = [...(await readCounters("inet")), ...(await readCounters("netdev"))];
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
    this.#lock.close();
  }

  /** Takes the guard out of the kernel: for when the addresses are off this machine. The end of this object. */
  async remove(): Promise<void> {
    await this.#wishes.settled();
    await tellKernel(removalText());
    this.#lock.close();
  }

  async #permit(permissions: readonly Permission[]): Promise<void> {
    await tellKernel(permissionsText(permissions));
    const isNew = permissions.some(({ ip }) => !this.#wishes.addresses.has(ip));
    if (isNew) await this.#catchFragments(permissions);
  }

  /** In one transaction. */
  async #rebuild(permissions: readonly Permission[]): Promise<void> {
    await tellKernel(frameText() + permissionsText(permissions));
    await this.#catchFragments(permissions);
  }

  async #catchFragments(permissions: readonly Permission[]): Promise<void> {
    const ips = new Set([...this.#wishes.addresses, ...permissions.map(({ ip }) => ip)]);
    try {
      const devices = await listDevices();
      if (devices.length > 0) await tellKernel(fragmentText([...ips], devices));
      this.#fragmentFault = null;
    } catch (fault) {
      this.#fragmentFault = fault as Error;
    }
  }
}

function permissionsText(permissions: readonly Permission[]): string {
  return permissions.map(permissionText).join("");
}

async function tellKernel(text: string): Promise<void> {
  await runCommand(["nft", "-f", "-"], text);
}

/**
 * Whether packets still come past the guard: whether a rule could stand beside the two that ask
 * for the address.
 */
async function isInForce(): Promise<boolean> {
  try {
    await runCommand(["nft", "-c", ruleProbe("inet", GUARD_TABLE, "output", 1)]);
    return true;
  } catch (fault) {
    if (fault instanceof KernelFault && fault.code === "command-failed") return false;
    throw fault;
  }
}

/** All devices on which something can leave the machine. */
async function listDevices(): Promise<string[]> {
  const links = JSON.parse(await runCommand(["ip", "-j", "link", "show"])) as {
    readonly ifname: string;
    readonly flags: readonly string[];
  }[];
  return links.filter(({ flags }) => !flags.includes("LOOPBACK")).map(({ ifname }) => ifname);
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

/** The addresses of a family that are guarded in the kernel. */
async function readAddresses(family: Family): Promise<string[]> {
  const text = await runCommand(["nft", "-j", "list", "set", "inet", GUARD_TABLE, `shared${family}`]);
  return parseListing(text).flatMap(({ set }) => (set?.["elem"] as string[] | undefined) ?? []);
}

async function readCounters(
  family: TableFamily,
): Promise<{ readonly name: string; readonly packets: number }[]> {
  try {
    const text = await runCommand(["nft", "-j", "list", "counters", "table", family, GUARD_TABLE]);
    return parseListing(text).flatMap(({ counter }) =>
      counter === undefined ? [] : [counter as { name: string; packets: number }],
    );
  } catch (fault) {
    // The second table is missing where the kernel cannot have it.
    if (family === "netdev") return [];
    throw fault;
  }
}
