/** Where the policy comes from by which is judged: a file, the edge, or nowhere. */
import { DEFAULT_POOL_POLICY } from "../../core/pool-policy.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { optionInvalid, readPool } from "../../process/command-options.ts";
import { operatorFor, type OperatorWords } from "../credentials/operator.ts";
import { readSmallFile } from "../../process/small-file.ts";

/** As the options have it. */
export interface PolicySource extends OperatorWords {
  readonly file?: string;
  readonly pool?: string;
}

/** A policy as text, and where it came from. */
export interface FoundPolicy {
  readonly text: string;
  readonly source: string;
}

/** Gets it. Throws faults of commands, and of files. */
export async function findPolicy({ file, pool, ...by }: PolicySource): Promise<FoundPolicy> {
  if (file !== undefined) {
    if (by.edge !== undefined) throw optionInvalid("--file and --edge exclude each other.");
    try {
      return { text: await readSmallFile(file), source: file };
    } catch (fault) {
      const { message } = fault as Error;
      throw new CommandFault("file-invalid", `The policy ${file} cannot be read: ${message}.`, fault);
    }
  }
  if (pool === undefined && by.edge === undefined) {
    return { text: JSON.stringify(DEFAULT_POOL_POLICY), source: "A policy that says nothing" };
  }
  if (pool === undefined) throw optionInvalid("--edge goes with --pool.");
  const { api } = await operatorFor(by);
  const policy = await api.getPolicy({ pool: readPool(pool) });
  return { text: JSON.stringify(policy), source: `The policy of ${pool}` };
}
