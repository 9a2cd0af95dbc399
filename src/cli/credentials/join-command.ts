/** The one command by which a machine becomes a host or a router, as it is printed for pasting. [TK12] */
import type { Command } from "commander";
import { collect, optionInvalid, readDuration } from "../../process/command-options.ts";
import { ALLOW_PLAIN_HTTP } from "../../process/plain-http-option.ts";
import { isName } from "../../core/selection.ts";
import { newVerb, stateOption } from "../options.ts";
import { StatePaths } from "../state-paths.ts";
import {
  adminTokenOption,
  edgeOption,
  operatorApi,
  type OperatorWords,
  plainHttpOption,
} from "./operator.ts";

interface Words extends OperatorWords {
  readonly pool: readonly string[];
  readonly ttl: string;
  readonly state: string;
}

const TTL = { leastMs: 60_000, mostMs: 7 * 86_400_000 };
const PROGRAMS = { host: "agent", router: "router" } as const;

/** The verb `add` for machines of this role, which prints as it is told to. */
export function addCommand(role: "host" | "router", print: (result: string) => Promise<void>): Command {
  return newVerb("add", `print the one command that makes a machine the ${role} of this name`)
    .argument("<name>", `name of the ${role}`)
    .argument("[options...]", `options of ipshard ${PROGRAMS[role]} that the command is to have, after --`)
    .option(
      "--pool <pool>",
      "a pool it may join, the first is the one it joins; may be repeated",
      collect,
      [],
    )
    .option("--ttl <time>", "how long the command is good for, as in 10m, 1h, 1d", "1h")
    .addOption(edgeOption())
    .addOption(adminTokenOption())
    .addOption(plainHttpOption())
    .addOption(stateOption())
    .action(async (name: string, options: readonly string[], { pool, ttl, state, ...by }: Words) => {
      if (!isName(name))
        throw optionInvalid(`${name} cannot be the name of a ${role}: those have 1 to 63 of a-z 0-9 . _ -.`);
      const ttlMs = readDuration("--ttl", ttl, TTL);
      const pools = pool.length === 0 ? ["default"] : [...pool];
      const api = await operatorApi(by, new StatePaths(state));
      const { token } = await api.offerJoin({ role, name, pools, ttlMs });
      const plain = by.allowPlainHttp === true ? [ALLOW_PLAIN_HTTP] : [];
      const words = ["--edge", new URL(by.edge).href, "--join", "-", ...plain, ...options]
        .map(quoted)
        .join(" ");
      await print(`printf %s ${token} | npx --yes ipshard ${PROGRAMS[role]} ${words}`);
    });
}

/** A word as any POSIX shell reads it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
