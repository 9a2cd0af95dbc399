/**
 * A pool's policy as a host keeps it on disk, to decide by it after a start without the edge. The file bears
 * the pool's name and a digest: one bit that changed could permit what is forbidden. [PY6]
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { PoolPolicy } from "../core/pool-policy.ts";
import { poolPolicySchema } from "../wire/pool-policy-schema.ts";

const fileSchema = z.strictObject({ sha256: z.string(), contents: z.string() });
const contentsSchema = z.strictObject({ pool: z.string(), policy: poolPolicySchema });

/** The policy of this pool. */
export interface KeptPolicy {
  readonly pool: string;
  readonly policy: PoolPolicy;
}

/** As the file has it. */
export function writtenPolicy(kept: KeptPolicy): string {
  const contents = JSON.stringify(kept);
  return JSON.stringify({ sha256: digestOf(contents), contents });
}

/** What a file has; null for what cannot be trusted: the host then waits for the edge. */
export function readPolicy(text: string): KeptPolicy | null {
  try {
    const { sha256, contents } = fileSchema.parse(JSON.parse(text));
    return sha256 === digestOf(contents) ? contentsSchema.parse(JSON.parse(contents)) : null;
  } catch {
    return null;
  }
}

function digestOf(contents: string): string {
  return createHash("sha256").update(contents).digest("hex");
}
