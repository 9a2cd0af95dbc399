/**
 * Control groups as the kernel keeps them in a rule: by number, which is that of their directory. A service that starts
 * anew has a new directory, and the rule of the old one matches nobody; so numbers are looked at. [SN1] [SN10]
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { SnatRule } from "./snat-rule.ts";

/** Where nft looks for them. */
const ROOT = "/sys/fs/cgroup";

/** The numbers of those control groups of the rules that are there now, by path. Nobody sends from one that is not. */
export async function controlGroups(rules: readonly SnatRule[]): Promise<ReadonlyMap<string, number>> {
  const numbers = new Map<string, number>();
  for (const path of rules.flatMap(({ cgroups }) => cgroups)) {
    try {
      numbers.set(path, (await stat(join(ROOT, path))).ino);
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== "ENOENT") throw fault;
    }
  }
  return numbers;
}
