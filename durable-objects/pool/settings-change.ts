/** Why a change of a pool's settings is refused. */
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { contradictionBy } from "../../src/core/settings-sense.ts";
import type { AddressQuestions } from "./address-questions.ts";

/** The settings cannot be together; the sentence names them. */
export interface SettingsRefusal {
  readonly code: "input-invalid";
  readonly detail: string;
}

/** Something is leased, or may be. */
export type KindRefusal = "pool-in-use" | "control-plane-unavailable";

/** Whether changes contradict each other or what there is; null if they do not. [ME8] */
export function settingsRefusal(
  before: PoolSettings | null,
  changes: Partial<PoolSettings>,
): SettingsRefusal | null {
  const found = contradictionBy(before, { ...DEFAULT_POOL_SETTINGS, ...before, ...changes });
  return found === null ? null : { code: "input-invalid", detail: found.text };
}

/** Whether a pool cannot become static, or be so no more, or have other slots, now; null if it can. [SM6] */
export async function kindRefusal(
  questions: AddressQuestions,
  before: PoolSettings | undefined,
  { staticPortsPerHost }: Partial<PoolSettings>,
): Promise<KindRefusal | null> {
  const isOther = staticPortsPerHost !== undefined && staticPortsPerHost !== before?.staticPortsPerHost;
  if (before === undefined || !isOther) return null;
  const held = [...(await questions.held()).values()];
  if (held.includes(null)) return "control-plane-unavailable";
  return held.some((blocks) => blocks!.some(({ isLeased }) => isLeased)) ? "pool-in-use" : null;
}
