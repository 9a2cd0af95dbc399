/** What a laboratory's virtual cables need to do what a network card does for XDP. */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { compileBpf } from "../../src/linux/bpf-compiler.ts";
import { expectBpfFileSystem } from "../../src/router/kernel/bpf-file-system.ts";
import type { Lab } from "./lab.ts";
import { type Role, routersOf } from "./plan.ts";

const run = promisify(execFile);

/**
 * At the other end of each router's link to the hosts there is a program, so that the link takes redirected frames; and
 * what the carrier sends has its sums, since a frame that is redirected does not say that they are missing.
 */
export async function readyForXdp(lab: Lab): Promise<void> {
  for (const router of routersOf(lab.size)) {
    await attachPass(lab, "lan", router);
    await lab.exec("carrier", ["ethtool", "-K", router, "tx", "off"]);
  }
}

/** Puts a program that lets all pass at a device. */
export async function attachPass(lab: Lab, role: Role, device: string): Promise<void> {
  const object = join(lab.directory, "pass.o");
  const pins = `/sys/fs/bpf/${lab.namespaceOf(role)}`;
  await compileBpf(join(import.meta.dirname, "pass.c"), object);
  await expectBpfFileSystem(pins);
  try {
    await run("bpftool", ["prog", "loadall", object, pins, "type", "xdp"]);
    const attach = ["net", "attach", "xdpdrv", "pinned", join(pins, "lab_pass"), "dev", device];
    await run("nsenter", [`--net=/run/netns/${lab.namespaceOf(role)}`, "bpftool", ...attach]);
  } finally {
    await rm(pins, { recursive: true });
  }
}
