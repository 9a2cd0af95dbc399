/**
 * What tells this machine from a copy of it: the id its operating system was given when it was
 * installed, and the one its board has or its hypervisor gives it. Neither is there everywhere.
 *
 * Only digests leave this file: the ids themselves are not for others to know (machine-id(5)).
 */
import { createHmac } from "node:crypto";
import { readSmallFile } from "../process/small-file.ts";

/** Digests of the ids that can be read now, by the name of the id. */
export type MachineIdentity = ReadonlyMap<string, string>;

const SOURCES = [
  { name: "machine-id", file: "/etc/machine-id", form: /^[0-9a-f]{32}$/ },
  // For root alone to read.
  { name: "product-uuid", file: "/sys/class/dmi/id/product_uuid", form: /^[0-9a-f-]{36}$/ },
] as const;
const PURPOSE = "ipshard state directory";

/** Of this machine; an id that is absent, unreadable or no id is left out. */
export async function machineIdentity(sources: readonly IdSource[] = SOURCES): Promise<MachineIdentity> {
  const identity = new Map<string, string>();
  for (const { name, file, form } of sources) {
    const id = await readId(file);
    if (id !== null && form.test(id)) identity.set(name, digestOf(id));
  }
  return identity;
}

/** Where an id stands, and what one looks like in lower case. */
export interface IdSource {
  readonly name: string;
  readonly file: string;
  readonly form: RegExp;
}

/** Whether any id that is known of both is another. */
export function isOther(one: MachineIdentity, other: MachineIdentity): boolean {
  return [...one].some(([name, digest]) => other.has(name) && other.get(name) !== digest);
}

async function readId(file: string): Promise<string | null> {
  try {
    return (await readSmallFile(file)).trim().toLowerCase();
  } catch {
    return null;
  }
}

function digestOf(id: string): string {
  return createHmac("sha256", id).update(PURPOSE).digest("base64url");
}
