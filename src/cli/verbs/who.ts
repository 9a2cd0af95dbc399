/** `ipshard who`: who held a port at a time, and which client used it. [AT8] */
import { readFile } from "node:fs/promises";
import { edgeApi } from "../../api/edge-api.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { readUrl } from "../../process/command-options.ts";
import { withPlainHttp } from "../../process/plain-http-option.ts";
import { type QuestionWords, readQuestion } from "../attribution/read-question.ts";
import { whoText } from "../attribution/who-text.ts";
import { newVerb, stateOption } from "../options.ts";
import { print } from "../output/print.ts";
import { StatePaths } from "../state-paths.ts";

interface Words extends QuestionWords {
  readonly edge: string;
  readonly state: string;
  readonly tokenFile?: string;
  readonly json?: true;
  readonly allowPlainHttp: boolean;
}

/** The verb. */
export const who = withPlainHttp(
  newVerb("who", "say which host held a port at a time, and which client used it"),
)
  .argument("<address:port>", "as in 192.0.2.1:5312 or [2001:db8::1]:5312")
  .option("--at <time>", "an RFC 3339 time such as 2026-11-29T12:03:07Z, or Unix milliseconds (default: now)")
  .option("--protocol <name>", "tcp, udp or icmp, if it is known")
  .option("--to <address:port>", "where it went, if it is known; tells flows on one port apart")
  .option("--edge <url>", "where the edge is", "http://127.0.0.1:8787")
  .option("--token-file <file>", "a token of the role admin (default: that of this project's state)")
  .addOption(stateOption())
  .option("--json", "print the answer for machines")
  .action(async (place: string, { edge, state, tokenFile, json, allowPlainHttp, ...words }: Words) => {
    const question = readQuestion(place, words);
    const file = tokenFile ?? new StatePaths(state).tokenFile("admin");
    const api = edgeApi({ edge: readUrl("--edge", edge), token: () => readToken(file), allowPlainHttp });
    const found = await api.findHolders(question);
    await print(json === true ? JSON.stringify(found, null, 2) : whoText(found));
  });

async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (fault) {
    const { message } = fault as Error;
    throw new CommandFault(
      "token-unreadable",
      `There is no token of an administrator: ${message}. Name its file with --token-file.`,
      fault,
    );
  }
}
