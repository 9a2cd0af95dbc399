/**
 * The program at the devices by which packets come in: in the driver where the driver can, else where the kernel has made a
 * packet buffer already. A program of another stays where it is. [RT15]
 */
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import type { BpftoolSession } from "../../linux/bpftool-session.ts";
import { ingressDevicesOf } from "../rules/steering-declarations.ts";
import type { RouterConfig } from "../steering/router-config.ts";
import { linkOf, type ListedLink } from "./kernel-tools.ts";

/** As the kernel calls the program. */
export const PROGRAM_NAME = "ipshard_steer";
const DRIVER_MODE = 1;

/** How the program is at a device. */
export type AttachmentMode = "driver" | "generic";

/** The devices at which the program is to be, with whatever is there now. */
export function attachmentPlaces(config: RouterConfig, links: readonly ListedLink[]): ListedLink[] {
  return ingressDevicesOf(config).flatMap((name) => linkOf(links, name) ?? []);
}

/** The name of a program of somebody else at this device; null when there is none. */
export function strangerAt({ xdp }: ListedLink): string | null {
  if (xdp?.prog === undefined || xdp.prog.name === PROGRAM_NAME) return null;
  return xdp.prog.name ?? String(xdp.prog.id);
}

/** How our program is at this device; null when it is not. */
export function modeAt({ xdp }: ListedLink, programId?: number): AttachmentMode | null {
  if (xdp?.prog?.name !== PROGRAM_NAME) return null;
  if (programId !== undefined && xdp.prog.id !== programId) return null;
  return xdp.mode === DRIVER_MODE ? "driver" : "generic";
}

/** Puts the program there, in the place of an earlier one of ours, without a gap. */
export async function attach(
  session: BpftoolSession,
  program: readonly string[],
  programId: number,
  link: ListedLink,
): Promise<AttachmentMode> {
  const stranger = strangerAt(link);
  if (stranger !== null) throw strangerFault(link.ifname, stranger);
  const present = modeAt(link, programId);
  if (present !== null) return present;
  // The kernel takes no program in another mode beside one that is there.
  const former = modeAt(link);
  // What comes by the loopback device has a packet buffer already.
  const isLoopback = link.ifname === "lo";
  const modes =
    former !== null ? [former] : isLoopback ? (["generic"] as const) : (["driver", "generic"] as const);
  for (const mode of modes) {
    const at = mode === "driver" ? "xdpdrv" : "xdpgeneric";
    const how = former === null ? [] : ["overwrite"];
    try {
      await session.run(["net", "attach", at, ...program, "dev", link.ifname, ...how]);
      return mode;
    } catch (fault) {
      if (mode === "driver" && former === null) continue;
      throw fault;
    }
  }
  throw new Error("no mode is left");
}

/** Takes our program away from a device, if it is there. */
export async function detach(ip: readonly string[], link: ListedLink): Promise<void> {
  const mode = modeAt(link);
  if (mode === null) return;
  await runCommand([
    ...ip,
    "link",
    "set",
    "dev",
    link.ifname,
    mode === "driver" ? "xdpdrv" : "xdpgeneric",
    "off",
  ]);
}

function strangerFault(device: string, stranger: string): KernelFault {
  return new KernelFault(
    "xdp-unavailable",
    `${device} has the XDP program ${stranger} of somebody else: take it off ` +
      `(ip link set dev ${device} xdp off), or give --steering nft`,
  );
}
