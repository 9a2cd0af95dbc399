/** Asks before settings of a pool are set that are possible, and more likely a slip of the pen. [ME9] */
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../core/pool-settings.ts";
import { dangersBy } from "../../core/settings-sense.ts";
import { confirm } from "../output/confirm.ts";

/** Says each danger on standard error, and asks once for all. Throws `not-confirmed`. */
export async function confirmDangers(
  before: PoolSettings | null,
  changes: Partial<PoolSettings>,
): Promise<void> {
  const dangers = dangersBy(before, { ...DEFAULT_POOL_SETTINGS, ...before, ...changes });
  if (dangers.length === 0) return;
  for (const { text } of dangers) console.error(text);
  await confirm(`Set ${dangers.length === 1 ? "it" : "them"} all the same?`);
}
