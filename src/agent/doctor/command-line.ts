/** The command line of the doctor of hosts. */
import type { Command } from "commander";
import { newCommand, withExamples } from "../../process/command-options.ts";
import { withPlainHttp } from "../../process/plain-http-option.ts";

/** All options of the doctor of hosts. */
export function hostDoctorCommand(write: (text: string) => void): Command {
  const description =
    "Says what keeps this host from sharing its addresses, and ends with a real round trip.";
  return withExamples(withPlainHttp(newCommand("ipshard doctor", description, write)), [
    "doctor --edge https://edge.example.com --client-token-file client.token --gateway https://h1.example.com --to https://example.com/",
    "doctor router",
  ])
    .requiredOption("--edge <url>", "where the edge is")
    .requiredOption("--client-token-file <file>", "a token of the role client for the pool")
    .requiredOption("--gateway <url>", "this host's gateway")
    .requiredOption("--to <url>", "a destination that answers")
    .option("--json", "print a line of JSON for each finding");
}

/** What it was called before, as one that is called alike by all that take such a token. */
export function withNewNames(args: readonly string[]): readonly string[] {
  return args.map((arg) => arg.replace(/^--token-file(?==|$)/, "--client-token-file"));
}
