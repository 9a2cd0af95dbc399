import type { Command } from "commander";
import type { About } from "../command-line.ts";

/** The options of a router, and what the doctor of routers takes besides. */
export const ROUTER_DOCTOR = {
  name: "ipshard doctor router",
  description:
    "Says what keeps a router from sending packets to their hosts. Takes the router's own options; " +
    "without any, those of the router that runs on this machine. Needs root.",
  examples: ["doctor router", "doctor router --to https://example.com/ --client-token-file client.token"],
  withOwnOptions: (command: Command): Command =>
    command
      .option("--to <url>", "a destination that answers: end with a request to it from each address")
      .option("--client-token-file <file>", "a token of the role client for the pool, for that request")
      .option("--json", "print a line of JSON for each finding"),
} satisfies About;
