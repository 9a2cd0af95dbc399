/** `ipshard who`: who held a port at a time, and which client used it. [AT8] */
import { type QuestionWords, readQuestion } from "../attribution/read-question.ts";
import { whoText } from "../attribution/who-text.ts";
import { operatorFor, type OperatorWords, withOperator } from "../credentials/operator.ts";
import { withExamples } from "../../process/command-options.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";

type Words = QuestionWords & OperatorWords & { readonly json?: true };

/** The verb. */
export const who = withExamples(
  withOperator(newVerb("who", "say which host held a port at a time, and which client used it"))
    .argument(
      "<address:port>",
      "as the Internet sees it or as the hosts have it: 192.0.2.1:5312 or [2001:db8::1]:5312",
    )
    .option(
      "--at <time>",
      "an RFC 3339 time such as 2026-11-29T12:03:07Z, which is all of that second, or Unix milliseconds (default: now)",
    )
    .option("--protocol <name>", "tcp, udp or icmp, if it is known")
    .option("--to <address:port>", "where it went, if it is known; tells flows on one port apart")
    .addOption(jsonOption())
    .action(async (place: string, { json, ...words }: Words) => {
      const question = readQuestion(place, words);
      const found = await (await operatorFor(words)).api.findHolders(question);
      await answer(json, found, () => whoText(found));
    }),
  ["who 192.0.2.1:5312 --at 2026-11-29T12:03:07Z", "who [2001:db8::1]:5312 --to [2001:db8:9::5]:443"],
);
