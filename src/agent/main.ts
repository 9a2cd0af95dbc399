/** `node src/agent/main.ts`: one agent from its command line to its last signal. */
import { begin } from "../process/command-fault.ts";
import { CONFIGURATION_GOOD, configured, readConfigured } from "../process/configuration.ts";
import { EdgeToken } from "../link/edge-token.ts";
import { joinFirst } from "../link/join-arguments.ts";
import { TokenEndWatch } from "../link/token-end-watch.ts";
import { TokenRenewal } from "../link/token-renewal.ts";
import { checkNamedFiles } from "../process/named-files.ts";
import { endOnWish, openLog } from "../process/process-life.ts";
import { StateDirectory, UNBOUND_STATE } from "../link/state-directory.ts";
import { Agent } from "./agent.ts";
import { agentCommand, type AgentConfig, parseConfig } from "./command-line.ts";
import { Machine } from "./machine/guarded-machine.ts";
import { namedFilesOf } from "./named-files.ts";

async function run(config: AgentConfig, isJoined: boolean): Promise<void> {
  const token = await EdgeToken.open(config.tokenFile, "host");
  const log = openLog({ host: token.subject });
  const onFault = (sentence: string): void => log.error(sentence);
  const state = await StateDirectory.open(config.stateDirectory, onFault, config);
  if (!state.isBound) log.warn(UNBOUND_STATE);
  try {
    const machine = await Machine.open(config.machine, config.stateDirectory, log);
    const agent = new Agent(config, token, state, machine, log);
    const started = agent.start();
    const { pool, tokenFile } = config;
    new TokenEndWatch({ token: () => token.read(), tokenFile, role: "host", pool, log }).start();
    if (isJoined) new TokenRenewal({ edge: config.edge, tokenFile: config.tokenFile, log }).start();
    // Before it has started: its data processes may serve already.
    const forget = endOnWish({
      log,
      beginning: "taking no new requests, giving the leases back, but for static slots",
      done: "all leases given back that end with time",
      end: () =>
        started.then(
          () => agent.drain(),
          () => {
            // Told below.
          },
        ),
    });
    await started.catch((fault: unknown) => {
      forget();
      throw fault;
    });
  } catch (fault) {
    await state.close();
    throw fault;
  }
}

function write(text: string): void {
  process.stdout.write(text);
}

await begin("ipshard agent", async () => {
  const said = await configured("agent", agentCommand(write), process.argv.slice(2));
  const joined = await joinFirst(said.args, "host", said).catch((fault: unknown) => {
    throw said.locate(fault);
  });
  const config = readConfigured(said, () => parseConfig(joined.args, write));
  if (config === null) return;
  if (!said.isCheck) return run(config, joined.tokenFile !== null);
  // The token of a join is judged with the join.
  const files = said.areFilesElsewhere ? [] : namedFilesOf(config, joined.tokenFile !== null);
  await checkNamedFiles(files).catch((fault: unknown) => {
    throw said.locate(fault);
  });
  write(`${CONFIGURATION_GOOD}\n`);
});
