/** The file system in which programs and maps are pinned. */
import { mkdir, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";

const BPF_FILE_SYSTEM = 0xcafe_4a11;
/** Where systemd mounts it. */
export const BPF_MOUNT = "/sys/fs/bpf";

/** Makes a directory in it, and mounts it first where nobody has. */
export async function expectBpfFileSystem(directory: string): Promise<void> {
  const isMounted = async (): Promise<boolean> => {
    for (let at = directory; ; at = dirname(at)) {
      try {
        return (await statfs(at)).type === BPF_FILE_SYSTEM;
      } catch (fault) {
        if ((fault as NodeJS.ErrnoException).code !== "ENOENT") throw fault;
      }
    }
  };
  if (!(await isMounted())) await runCommand(["mount", "-t", "bpf", "bpf", BPF_MOUNT]);
  if (!(await isMounted())) throw new KernelFault("xdp-unavailable", `${directory} is in no BPF file system`);
  await mkdir(directory, { recursive: true });
}
