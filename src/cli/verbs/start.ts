/** `ipshard start`: a whole ipshard on this machine, to try it. */
import { withExamples } from "../../process/command-options.ts";
import { PORT_COUNT, runStart } from "../one-machine/run.ts";
import { newVerb, portOption, stateOption } from "../options.ts";
import { StatePaths } from "../state-paths.ts";

/** The verb. */
export const start = withExamples(
  newVerb("start", "run the edge, two hosts that share one address, and a sample origin on this machine"),
  ["start", "start --port 9000 --state /tmp/ipshard"],
)
  .addOption(portOption(`first of ${PORT_COUNT} ports in a row to listen on`, PORT_COUNT))
  .addOption(stateOption())
  .action(async ({ port, state }: { port: number; state: string }) => {
    await runStart(new StatePaths(state), port);
  });
