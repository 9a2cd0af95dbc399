/** `ipshard edge`: runs the edge on this machine until it is told to end. */
import { runEdge } from "../edge/run-edge.ts";
import { newVerb, portOption, stateOption } from "../options.ts";
import { StatePaths } from "../state-paths.ts";

/** The verb. */
export const edge = newVerb("edge", "run the edge on this machine")
  .addOption(portOption("port to listen on", 1))
  .option("--host <address>", "address to listen on", "127.0.0.1")
  .addOption(stateOption())
  .action(async ({ host, port, state }: { host: string; port: number; state: string }) => {
    await runEdge(new StatePaths(state), host, port);
  });
