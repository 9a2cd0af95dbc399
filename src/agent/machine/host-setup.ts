/**
 * Makes a machine fit to share addresses, and leaves it as it was.
 *
 * A shared address belongs on the loopback device: the machine takes what is sent to it, but
 * nobody must learn on a link where it is, for it is in many places (routers know). So ARP
 * answers and announcements are confined to a device's own addresses; neighbour discovery
 * does so by itself. The kernel must never choose the address of its own accord either. [HS1]
 *
 * What is about to be done is written down before it is done. So a set-up that was killed is
 * undone by the next one, and nothing is undone that was there before, or that somebody has
 * changed since. [HS2]
 *
 * The guard must know an address before this does: there is no moment at which it is here
 * and unguarded.
 */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { z } from "zod";
import { needsGuard } from "./guard.ts";
import { readSetting, writeSetting } from "../../linux/kernel-commands.ts";
import { addToLoopback, machineAddresses, removeFromLoopback } from "./machine-addresses.ts";

/** The settings that keep a shared address off the links, and which of their values do. */
export const ARP_SETTINGS = [
  { name: "net/ipv4/conf/all/arp_ignore", wanted: "1", alsoGood: ["2", "8"] },
  { name: "net/ipv4/conf/all/arp_announce", wanted: "2", alsoGood: [] },
] as const;

const deedsSchema = z.object({
  /** A machine that has booted since has none of it any more. */
  bootId: z.string(),
  addresses: z.array(z.string()).readonly(),
  settings: z.array(z.object({ name: z.string(), before: z.string(), set: z.string() })).readonly(),
});
type Deeds = Readonly<z.infer<typeof deedsSchema>>;

/** What was done to this machine, and can be undone. */
export class HostSetup {
  readonly #file: string;
  #deeds: Deeds;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(file: string, deeds: Deeds) {
    this.#file = file;
    this.#deeds = deeds;
  }

  /** Takes up what an earlier set-up with this file (JSON) has done and not undone. */
  static async open(file: string): Promise<HostSetup> {
    return new HostSetup(file, await readDeeds(file));
  }

  /** Puts a shared address on this machine, if it is not there already. Needs root. */
  add(ip: string): Promise<void> {
    return this.#inTurn(async () => {
      // Loopback addresses are on every machine.
      if (!needsGuard(ip)) return;
      if (!ip.includes(":")) await this.#silenceArp();
      if ((await machineAddresses()).some((address) => address.ip === ip)) return;
      await this.#note({ ...this.#deeds, addresses: [...this.#deeds.addresses, ip] });
      await addToLoopback(ip);
    });
  }

  /** Undoes everything, in the order that never shows an address on a link. */
  undo(): Promise<void> {
    return this.#inTurn(async () => {
      for (const ip of this.#deeds.addresses) await removeFromLoopback(ip);
      for (const { name, before, set } of this.#deeds.settings) {
        if ((await readSetting(name)) === set) await writeSetting(name, before);
      }
      this.#deeds = { ...this.#deeds, addresses: [], settings: [] };
      await rm(this.#file, { force: true });
    });
  }

  async #silenceArp(): Promise<void> {
    for (const { name, wanted, alsoGood } of ARP_SETTINGS) {
      const before = await readSetting(name);
      if (before === null || isGood(before, wanted, alsoGood)) continue;
      // Another record of it is from an earlier life, and knows what it was before that.
      const earlier = this.#deeds.settings.find((setting) => setting.name === name);
      if (earlier === undefined) {
        const settings = [...this.#deeds.settings, { name, before, set: wanted }];
        await this.#note({ ...this.#deeds, settings });
      }
      await writeSetting(name, wanted);
    }
  }

  async #note(deeds: Deeds): Promise<void> {
    await writeFile(`${this.#file}.new`, JSON.stringify(deeds), { flush: true });
    await rename(`${this.#file}.new`, this.#file);
    this.#deeds = deeds;
  }

  #inTurn(what: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(what);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Whether a setting has a value that will do. */
export function isGood(value: string, wanted: string, alsoGood: readonly string[]): boolean {
  return value === wanted || alsoGood.includes(value);
}

async function readDeeds(file: string): Promise<Deeds> {
  const bootId = (await readSetting("kernel/random/boot_id")) ?? "";
  const none = { bootId, addresses: [], settings: [] };
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return none;
    throw fault;
  }
  const deeds = parseDeeds(text);
  // It is replaced as a whole: only a loss of power damages it, and that undoes it all.
  return deeds?.bootId === bootId ? deeds : none;
}

function parseDeeds(text: string): Deeds | null {
  try {
    return deedsSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
