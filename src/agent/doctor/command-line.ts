import type { Command } from "commander";
import { newCommand } from "../../process/command-options.ts";
import { withPlainHttp } from "../../process/plain-http-option.ts";

/** All options of the doctor of hosts. */
export function hostDoctorCommand(write: (text: string) => void): Command {
  const description =
    "Says what keeps this host from sharing its addresses, and ends with a real round trip.";
  return withPlainHttp(newCommand("ipshard doctor", description, write))
    .requiredOption("--edge <url>", "where the edge is")
    .requiredOption("--token-file <file>", "a token of the role client for the pool")
    .requiredOption("--gateway <url>", "this host's gateway")
    .requiredOption("--to <url>", "a destination that answers")
    .option("--json", "print a line of JSON for each finding");
}
