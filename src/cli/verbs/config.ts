/** `ipshard config`: says what is wrong with a file before a program is started by it. [CF3] */
import { spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { z } from "zod";
import { CommandFault } from "../../process/command-fault.ts";
import { FILES_ELSEWHERE, SECTIONS } from "../../process/configuration.ts";
import { ownProgram } from "../../process/own-files.ts";
import { fileInvalid, WrittenFile } from "../../process/written-file.ts";
import { poolsSchema } from "../desired/desired-file.ts";
import { withExamples } from "../../process/command-options.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { print } from "../output/print.ts";
import { publishedSchema } from "../published-schema.ts";
import { commandOf } from "../supervision/exec.ts";

const anything = z.unknown().optional();
const fileSchema = z.strictObject({
  $schema: z.string().optional(),
  // Their options are known to these programs, which are asked.
  agent: anything,
  router: anything,
  edge: anything,
  pools: poolsSchema.optional(),
});

const check = newVerb("check", "say what is wrong with a file, each mistake with its line and what to do")
  .argument("<file>", `YAML or JSON with any of the parts ${SECTIONS.join(", ")}`)
  .option("--files-elsewhere", "leave the files alone that it names, which are on another machine")
  .addOption(jsonOption())
  .action(async (name: string, { json, filesElsewhere }: { json?: true; filesElsewhere?: true }) => {
    await refuseStream(name);
    const file = await WrittenFile.read(name);
    const mistakes = file.mistakesBy(fileSchema);
    if (mistakes.length > 0) throw fileInvalid(name, mistakes);
    const parts = Object.keys(z.looseObject({}).parse(file.value)).filter((part) => SECTIONS.includes(part));
    const programs = parts.filter((part) => part !== "pools");
    const asked = await Promise.all(programs.map((part) => saidOf(part, name, filesElsewhere === true)));
    const refusals = asked.filter((why) => why !== null);
    if (refusals.length > 0) throw new CommandFault("file-invalid", refusals.join("\n"));
    await answer(json, { file: name, parts }, () => {
      const what = parts.length === 0 ? "It says nothing." : `Read: ${parts.join(", ")}.`;
      return `Nothing is wrong with ${name}. ${what}`;
    });
  });

const schema = newVerb("schema", "print the JSON schema of such files, for editors").action(async () => {
  await print(publishedSchema().trimEnd());
});

/** The verb. */
export const config = withExamples(
  newVerb("config", "check files by which programs and pools are configured")
    .addCommand(check)
    .addCommand(schema),
  [
    "config check ipshard.yaml",
    "config check ipshard.yaml --files-elsewhere",
    "agent --config ipshard.yaml",
    "config schema > ipshard.schema.json",
  ],
);

/** Each program whose part it has reads it for itself: what is read from a pipe is not there for the next one. */
async function refuseStream(name: string): Promise<void> {
  const found = name === "-" ? null : await stat(name).catch(() => undefined);
  // What cannot be looked at says why when it is opened.
  if (found === undefined || found?.isFile() === true || found?.isDirectory() === true) return;
  const what = found === null ? "Standard input" : `${name} is a pipe or a device, which`;
  throw new CommandFault("file-invalid", `${what} cannot be read several times: put it into a file.`);
}

/** What a program says against its part; null if nothing is wrong. */
async function saidOf(part: string, file: string, areFilesElsewhere: boolean): Promise<string | null> {
  const args = ["--config", file, "--check-config", ...(areFilesElsewhere ? [`--${FILES_ELSEWHERE}`] : [])];
  const [program, ...words] =
    part === "agent" || part === "router"
      ? commandOf(part, args)
      : [process.execPath, ownProgram("cli"), part, ...args];
  const child = spawn(program!, words, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<number | null>((resolve) => {
    child.once("close", resolve);
  });
  const said = (await text(child.stderr)).trim();
  if ((await ended) === 0) return null;
  // Without the name of the program before it and the code behind it: the line says whose it is.
  return said.replace(/^ipshard(?: \w+)?: /, "").replace(/ \[[\w-]+\]$/, "");
}
