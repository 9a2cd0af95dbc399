/**
 * The program at the devices by which packets come in: in the driver where the driver can, else where the kernel has made a
 * packet buffer already. A program of another stays where it is. [RT15]
 */
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import type { BpftoolSession } from "../../linux/bpftool-session.ts";
import { ingressDevicesOf } from "../rules/steering-declarations.ts";
import { firstMarkOf, type RouterConfig } from "../steering/router-config.ts";
import { readOwner } from "../xdp/map-layout.ts";
import { linkOf, type ListedLink } from "./kernel-tools.ts";

/** As the kernel calls the program. */
const PROGRAM_NAME = "ipshard_steer";
const DRIVER_MODE = 1;

/** How the program is at a device. */
export type AttachmentMode = "driver" | "generic";

/** The devices at which the program is to be, with whatever is there now. */
export function attachmentPlaces(config: RouterConfig, links: readonly ListedLink[]): ListedLink[] {
  return ingressDevicesOf(config).flatMap((name) => linkOf(links, name) ?? []);
}

/** The programs at these devices that a router of this table has put there, now or in an earlier life. */
export async function ownPrograms(
  session: BpftoolSession,
  config: RouterConfig,
  links: readonly ListedLink[],
): Promise<Set<number>> {
  const own = new Set<number>();
  for (const id of new Set(links.flatMap(({ xdp }) => (isOfOurKind(xdp) ? [xdp.prog.id] : [])))) {
    if ((await ownerOf(session, id)) === firstMarkOf(config)) own.add(id);
  }
  return own;
}

/** The name of a program of somebody else at this device; null when there is none. */
export function strangerAt({ xdp }: ListedLink, own: ReadonlySet<number>): string | null {
  if (xdp?.prog === undefined || own.has(xdp.prog.id)) return null;
  return xdp.prog.name ?? String(xdp.prog.id);
}

/** How a program is at this device; null when it is not, or not one of these. */
export function modeAt({ xdp }: ListedLink, programs: ReadonlySet<number>): AttachmentMode | null {
  if (xdp?.prog === undefined || !programs.has(xdp.prog.id)) return null;
  return xdp.mode === DRIVER_MODE ? "driver" : "generic";
}

/** Whether any program of this kind is at this device. */
export function isSteering({ xdp }: ListedLink): boolean {
  return isOfOurKind(xdp);
}

/** Puts the program there, in the place of an earlier one of ours, without a gap. */
export async function attach(
  session: BpftoolSession,
  program: { readonly words: readonly string[]; readonly id: number },
  own: ReadonlySet<number>,
  link: ListedLink,
): Promise<AttachmentMode> {
  const { xdp, ifname } = link;
  const stranger = strangerAt(link, own);
  if (stranger !== null) throw strangerFault(ifname, stranger);
  const former = modeAt(link, own);
  if (former !== null && xdp?.prog?.id === program.id) return former;
  for (const mode of modesToTry(ifname, former)) {
    const at = mode === "driver" ? "xdpdrv" : "xdpgeneric";
    const how = former === null ? [] : ["overwrite"];
    try {
      await session.run(["net", "attach", at, ...program.words, "dev", ifname, ...how]);
      return mode;
    } catch (fault) {
      if (mode === "driver" && former === null) continue;
      throw fault;
    }
  }
  throw new Error("no mode is left");
}

/** The kernel takes no program in another mode beside one; what comes by the loopback device has a packet buffer already. */
function modesToTry(device: string, former: AttachmentMode | null): readonly AttachmentMode[] {
  if (former !== null) return [former];
  return device === "lo" ? ["generic"] : ["driver", "generic"];
}

/** Takes these programs away from a device, if one is there. */
export async function detach(
  ip: readonly string[],
  programs: ReadonlySet<number>,
  link: ListedLink,
): Promise<void> {
  const mode = modeAt(link, programs);
  if (mode === null) return;
  const at = mode === "driver" ? "xdpdrv" : "xdpgeneric";
  await runCommand([...ip, "link", "set", "dev", link.ifname, at, "off"]);
}

function isOfOurKind(xdp: ListedLink["xdp"]): xdp is Required<NonNullable<ListedLink["xdp"]>> {
  return xdp?.prog?.name === PROGRAM_NAME;
}

/** By one of its maps. A program that goes meanwhile is nobody's. */
async function ownerOf(session: BpftoolSession, programId: number): Promise<number | null> {
  try {
    const { map_ids: ids = [] } = (await session.list(["prog", "show", "id", String(programId)])) as {
      map_ids?: number[];
    };
    for (const id of ids) {
      const { name } = (await session.list(["map", "show", "id", String(id)])) as { name?: string };
      if (name !== "settings") continue;
      const [settings] = await session.dump(["id", String(id)]);
      return settings === undefined ? null : readOwner(settings.value);
    }
    return null;
  } catch (fault) {
    if (fault instanceof KernelFault && fault.code === "command-failed") return null;
    throw fault;
  }
}

function strangerFault(device: string, stranger: string): KernelFault {
  return new KernelFault(
    "xdp-unavailable",
    `${device} has the XDP program ${stranger} of somebody else: take it off ` +
      `(ip link set dev ${device} xdp off), or give --steering nft`,
  );
}
