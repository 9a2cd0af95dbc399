/** `ipshard context`: which edges are remembered, and which one is meant. [OV2] */
import { contextIn, readContexts, writeContexts } from "../contexts/context-file.ts";
import { withExamples } from "../../process/command-options.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { table } from "../output/terminal-text.ts";

interface Words {
  readonly json?: true;
}

const list = newVerb("list", "list the contexts, without their tokens")
  .addOption(jsonOption())
  .action(async ({ json }: Words) => {
    const { current, contexts } = await readContexts();
    const known = Object.entries(contexts).map(([name, { edge, pool = null, clientToken }]) => ({
      name,
      edge,
      pool,
      hasClientToken: clientToken !== undefined,
      isCurrent: name === current,
    }));
    const rows = known.map(({ name, edge, pool, isCurrent }) => [
      isCurrent ? "*" : " ",
      name,
      edge,
      pool ?? "",
    ]);
    const none = "There is none: ipshard login --edge URL makes one.";
    await answer(json, known, () => (known.length === 0 ? none : table([" ", "NAME", "EDGE", "POOL"], rows)));
  });

const use = newVerb("use", "mean this context from now on")
  .argument("<name>", "of a context")
  .addOption(jsonOption())
  .action(async (name: string, { json }: Words) => {
    const known = await readContexts();
    const { edge } = contextIn(known, name)!;
    await writeContexts({ ...known, current: name });
    await answer(json, { name, edge }, () => `Context ${name} is the current one: ${edge}.`);
  });

const remove = newVerb("remove", "forget a context; its token is good until it ends or is revoked")
  .argument("<name>", "of a context")
  .addOption(jsonOption())
  .action(async (name: string, { json }: Words) => {
    const known = await readContexts();
    contextIn(known, name);
    const { [name]: gone, ...contexts } = known.contexts;
    await writeContexts({ current: known.current === name ? null : known.current, contexts });
    await answer(json, { name, edge: gone?.edge }, () => `Context ${name} is forgotten.`);
  });

/** The verb. */
export const context = withExamples(
  newVerb("context", "choose among the edges that are remembered")
    .addCommand(list)
    .addCommand(use)
    .addCommand(remove),
  ["context list", "context use staging", "context remove staging"],
);
