/** What a laboratory's virtual cables need to do what a network card does for XDP. */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { compileBpf } from "../../src/linux/bpf-compiler.ts";
import { expectBpfFileSystem } from "../../src/router/kernel/bpf-file-system.ts";
import type { Lab } from "./lab.ts";
import { routersOf } from "./plan.ts";

const run = promisify(execFile);

/**
 * At the other end of each router's link to the hosts there is a program, so that the link takes redirected frames; and
 * what the carrier sends has its sums, since a frame that is redirected does not say that they are missing.
 */
export async function readyForXdp(lab: Lab): Promise<void> {
  const object = join(lab.directory, "pass.o");
  const pins = `/sys/fs/bpf/${lab.namespaceOf("lan")}`;
  await compileBpf(join(import.meta.dirname, "pass.c"), object);
  await expectBpfFileSystem(pins);
  try {
    await run("bpftool", ["prog", "loadall", object, pins, "type", "xdp"]);
    for (const router of routersOf(lab.size)) {
      const attach = ["net", "attach", "xdpdrv", "pinned", join(pins, "lab_pass"), "dev", router];
      await run("nsenter", [`--net=/run/netns/${lab.namespaceOf("lan")}`, "bpftool", ...attach]);
      await lab.exec("carrier", ["ethtool", "-K", router, "tx", "off"]);
    }
  } finally {
    await rm(pins, { recursive: true });
  }
}
