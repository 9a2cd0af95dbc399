/** Where the policy comes from by which is judged: a file, the edge, or nowhere. */
import { readFile } from "node:fs/promises";
import { edgeApi } from "../../api/edge-api.ts";
import { DEFAULT_POOL_POLICY } from "../../core/pool-policy.ts";
import { optionInvalid, readPool, readUrl } from "../../process/command-options.ts";

/** As the options have it. */
export interface PolicySource {
  readonly file?: string;
  readonly edge?: string;
  readonly pool?: string;
  readonly tokenFile?: string;
}

/** A policy as text, and where it came from. */
export interface FoundPolicy {
  readonly text: string;
  readonly source: string;
}

const ANSWER_MS = 10_000;
const LOOPBACK = /^(?:127\.[\d.]+|\[::1\]|localhost)$/;

/** Gets it. Throws faults of commands, and of files. */
export async function findPolicy({ file, edge, pool, tokenFile }: PolicySource): Promise<FoundPolicy> {
  if (file !== undefined) {
    if (edge !== undefined) throw optionInvalid("--file and --edge exclude each other.");
    return { text: await readFile(file, "utf8"), source: file };
  }
  if (edge === undefined) {
    return { text: JSON.stringify(DEFAULT_POOL_POLICY), source: "A policy that says nothing" };
  }
  if (pool === undefined || tokenFile === undefined) {
    throw optionInvalid(
      "--edge goes with --pool and with --token-file, a file with an administrator's token.",
    );
  }
  const token = (await readFile(tokenFile, "utf8")).trim();
  return fromEdge(readUrl("--edge", edge), readPool(pool), token);
}

async function fromEdge(edge: URL, pool: string, token: string): Promise<FoundPolicy> {
  if (edge.protocol === "http:" && !LOOPBACK.test(edge.hostname)) {
    throw optionInvalid(`--edge ${edge.href}: a token is sent by https only, except on this machine.`);
  }
  const signal = AbortSignal.timeout(ANSWER_MS);
  const policy = await edgeApi({ edge, token: () => token, signal }).getPolicy({ pool });
  return { text: JSON.stringify(policy), source: `The policy of ${pool}` };
}
