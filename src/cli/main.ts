/** The command line: one verb per file, and here only what each is called and takes. */
import { Command, InvalidArgumentError, Option } from "commander";
import { ISSUED_ROLES } from "../core/identity.ts";
import { begin } from "../link/command-fault.ts";
import { becomeAgent } from "./agent.ts";
import { become } from "./become.ts";
import { runEdge } from "./edge.ts";
import { fileFault } from "./file-faults.ts";
import { issueToken } from "./issue-token.ts";
import { readKey } from "./key-files.ts";
import { issuerKeySet } from "./keys.ts";
import { print } from "./output.ts";
import { PORT_COUNT, runStart } from "./start.ts";
import { DEFAULT_STATE, StateDirectory } from "./state-directory.ts";

const DEFAULT_PORT = 8787;

function portOption(portCount: number): Option {
  const highest = 65_536 - portCount;
  return new Option("--port <number>", "first port to listen on").default(DEFAULT_PORT).argParser((text) => {
    const port = Number(text);
    if (/^\d+$/.test(text) && port >= 1 && port <= highest) return port;
    throw new InvalidArgumentError(`It must be a number from 1 to ${highest}.`);
  });
}

function stateOption(): Option {
  return new Option("--state <directory>", "where keys, tokens and storage are").default(DEFAULT_STATE);
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

const program = new Command("ipshard").description(
  "One shared egress IP address over many hosts, with the port as the sharding key.",
);

program
  .command("start")
  .description("run the edge, two hosts that share one address, and a sample origin on this machine")
  .addOption(portOption(PORT_COUNT))
  .addOption(stateOption())
  .action(async ({ port, state }: { port: number; state: string }) => {
    await runStart(new StateDirectory(state), port);
  });

program
  .command("edge")
  .description("run the edge on this machine")
  .addOption(portOption(1))
  .option("--host <address>", "address to listen on", "127.0.0.1")
  .addOption(stateOption())
  .action(async ({ host, port, state }: { host: string; port: number; state: string }) => {
    await runEdge(new StateDirectory(state), host, port);
  });

/** A verb whose options are read by the program that it becomes. */
function programVerb(name: string, description: string, run: (args: readonly string[]) => never): void {
  program
    .command(name)
    .description(`${description} (its options: ipshard ${name} --help)`)
    .argument("[args...]")
    .allowUnknownOption()
    .helpOption(false)
    .action(run);
}

programVerb("agent", "be a host: lease ports and send requests", becomeAgent);
programVerb("router", "steer returning packets to their hosts", (args) => become("router", args));
programVerb("doctor", "say what is wrong with this host, or with `doctor router` this router", (args) =>
  args[0] === "router" ? become("router-doctor", args.slice(1)) : become("doctor", args),
);

program
  .command("keys")
  .description("make the issuer's and the edge's keys if there are none; print the issuer's public keys")
  .addOption(stateOption())
  .action(async ({ state }: { state: string }) => {
    await print(await issuerKeySet(new StateDirectory(state)));
  });

program
  .command("token")
  .description("sign a token with the issuer's key")
  .requiredOption("--role <role>", ISSUED_ROLES.join(", "))
  .requiredOption("--name <name>", "whom it is for; for a host or a router, its name")
  .option("--pool <pool>", "a pool it may use, the first is its default; may be repeated", collect, [])
  .option("--ttl <time>", "how long it is valid, as in 45s, 10m, 12h, 30d", "30d")
  .addOption(stateOption())
  .action(
    async (options: { role: string; name: string; pool: readonly string[]; ttl: string; state: string }) => {
      const request = { ...options, pools: options.pool };
      const key = await readKey(new StateDirectory(options.state), "issuer");
      await print(await issueToken(request, key, Date.now()));
    },
  );

await begin("ipshard", async () => {
  try {
    await program.parseAsync();
    process.exitCode = 0;
  } catch (fault) {
    throw fileFault(fault);
  }
});
