/**
 * Names that a shell may complete: pools, hosts and addresses that the edge knows now, and contexts. Whoever
 * presses a key waits for them, so they are asked for a moment only, and without them nothing is said. [CI17]
 */
import { isIP } from "node:net";
import { edgeApi } from "../../api/edge-api.ts";
import { isName } from "../../core/selection.ts";
import { printable } from "../../process/printable.ts";
import { readContexts } from "../contexts/context-file.ts";
import { operatorFor } from "../credentials/operator.ts";
import { DEFAULT_STATE } from "../state-paths.ts";

/** What a word is the name of. */
export type NameKind = "pool" | "host" | "address" | "context";

/** A name, and what is said beside it. */
export interface LiveName {
  readonly name: string;
  readonly about: string;
}

const PATIENCE_MS = 1_000;
/** An administrator of more pools names one. */
const MOST_POOLS = 16;

/** Those of a kind; `words` are what stands on the line already. None when they cannot be had in time. */
export async function liveNames(kind: NameKind, words: readonly string[]): Promise<readonly LiveName[]> {
  try {
    return kind === "context" ? await contextNames() : await namesAtEdge(kind, words);
  } catch {
    // Nothing that is written to a line that is being typed would help.
    return [];
  }
}

async function contextNames(): Promise<readonly LiveName[]> {
  const { contexts } = await readContexts();
  return named(Object.entries(contexts).map(([name, { edge }]) => ({ name, about: edge })));
}

async function namesAtEdge(
  kind: Exclude<NameKind, "context">,
  words: readonly string[],
): Promise<readonly LiveName[]> {
  const said = (option: string): string | undefined => valueOf(words, `--${option}`);
  // Standard input is the terminal's.
  if (said("token-file") === "-") return [];
  const { edge, allowPlainHttp, token, pool } = await operatorFor({
    ...optional("edge", said("edge")),
    ...optional("context", said("context")),
    ...optional("tokenFile", said("token-file")),
    allowPlainHttp: words.includes("--allow-plain-http"),
    state: said("state") ?? process.env["IPSHARD_STATE"] ?? DEFAULT_STATE,
  });
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const api = edgeApi({ edge, token: () => token, allowPlainHttp, signal });
  const meant = said("pool") ?? pool;
  if (kind === "pool") return named((await api.listPools()).pools.map((name) => ({ name, about: "a pool" })));
  const pools = meant === null ? (await api.listPools()).pools.slice(0, MOST_POOLS) : [meant];
  const found = await Promise.all(pools.map((name) => api.getPool({ pool: name })));
  return named(
    found.flatMap(({ pool: its, hosts, ips }) =>
      kind === "host"
        ? hosts.map(({ host, live }) => ({ name: host, about: `pool ${its}${live ? "" : ", away"}` }))
        : ips.map(({ ip }) => ({ name: ip, about: `pool ${its}` })),
    ),
  );
}

/**
 * What is no proper name is not put onto anybody's command line. A shell takes each line for a name, and bash
 * expands what stands in it, so what is said beside one is of one line.
 */
function named(names: readonly LiveName[]): readonly LiveName[] {
  return names
    .filter(({ name }) => isName(name) || isIP(name) !== 0)
    .map(({ name, about }) => ({ name, about: printable(about) }));
}

function optional<Name extends string>(name: Name, value: string | undefined): { [Key in Name]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [Key in Name]?: string });
}

function valueOf(words: readonly string[], option: string): string | undefined {
  const at = words.lastIndexOf(option);
  if (at >= 0) return words[at + 1];
  return words.findLast((word) => word.startsWith(`${option}=`))?.slice(option.length + 1);
}
