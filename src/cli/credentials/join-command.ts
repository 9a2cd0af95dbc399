/** The one command by which a machine becomes a host or a router, as it is printed for pasting. [TK12] */
import type { Command } from "commander";
import {
  collect,
  optionInvalid,
  readDuration,
  readPool,
  withExamples,
} from "../../process/command-options.ts";
import { ALLOW_PLAIN_HTTP } from "../../process/plain-http-option.ts";
import { isName } from "../../core/selection.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { operatorFor, type OperatorWords, withOperator } from "./operator.ts";

interface Words extends OperatorWords {
  readonly pool: readonly string[];
  readonly ttl: string;
  readonly json?: true;
}

const TTL = { leastMs: 60_000, mostMs: 7 * 86_400_000 };
const EXAMPLES = {
  host: [
    "host add h1 --pool eu -- --gateway https://h1.example.com",
    "host add h1 --pool eu --ttl 10m --json",
  ],
  router: ["router add r1 --pool eu -- --ingress eth0 --link eth1"],
} as const;
const PROGRAMS = { host: "agent", router: "router" } as const;

/** The verb `add` for machines of this role. */
export function addCommand(role: "host" | "router"): Command {
  const verb = withOperator(
    newVerb("add", `print the one command that makes a machine the ${role} of this name`),
  )
    .argument("<name>", `name of the ${role}`)
    .argument("[options...]", `options of ipshard ${PROGRAMS[role]} that the command is to have, after --`)
    .option(
      "--pool <pool>",
      "a pool it may join, the first is the one it joins; may be repeated",
      collect,
      [],
    )
    .option("--ttl <time>", "how long the command is good for, as in 10m, 1h, 1d", "1h")
    .addOption(jsonOption())
    .action(async (name: string, options: readonly string[], { pool, ttl, json, ...by }: Words) => {
      if (!isName(name))
        throw optionInvalid(`${name} cannot be the name of a ${role}: those have 1 to 63 of a-z 0-9 . _ -.`);
      const ttlMs = readDuration("--ttl", ttl, TTL);
      const operator = await operatorFor(by);
      const { api, edge, allowPlainHttp } = operator;
      const pools = pool.length === 0 ? [operator.pool ?? "default"] : [...pool];
      // A machine would hear of a name that is none only when somebody has pasted the command there.
      for (const one of pools) await api.getPool({ pool: readPool(one) });
      const { token } = await api.offerJoin({ role, name, pools, ttlMs });
      const plain = allowPlainHttp ? [ALLOW_PLAIN_HTTP] : [];
      const words = ["--edge", edge.href, "--join", "-", ...plain, ...options].map(quoted).join(" ");
      // What npx does not find there it must not fetch: whose a package of this name is nobody has checked.
      const command = `printf %s ${token} | npx --no -- ipshard ${PROGRAMS[role]} ${words}`;
      await answer(json, { command }, () => command);
    });
  verb.showHelpAfterError(
    `Options of ipshard ${PROGRAMS[role]} stand after --, as in: ipshard ${EXAMPLES[role][0]}`,
  );
  return withExamples(verb, EXAMPLES[role]);
}

/** A word as any POSIX shell reads it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
