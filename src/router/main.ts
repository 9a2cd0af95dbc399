/** `node src/router/main.ts`: runs one router until a signal ends it. */
import { CONFIGURATION_GOOD, configured, readConfigured } from "../process/configuration.ts";
import { EdgeToken } from "../link/edge-token.ts";
import { joinFirst } from "../link/join-arguments.ts";
import { TokenEndWatch } from "../link/token-end-watch.ts";
import { TokenRenewal } from "../link/token-renewal.ts";
import { checkNamedFiles, judgedFile, type NamedFiles } from "../process/named-files.ts";
import { metricsFiles } from "../metrics/node/metrics-options.ts";
import { mayAdministerNetwork } from "../process/privileges.ts";
import { endOnWish, openLog } from "../process/process-life.ts";
import { begin, CommandFault } from "../process/command-fault.ts";
import { StateDirectory, UNBOUND_STATE } from "../link/state-directory.ts";
import { parseCommandLine, routerCommand, type RouterOptions } from "./command-line.ts";
import { dryRun } from "./dry-run.ts";
import { ChosenKernel } from "./kernel/chosen-kernel.ts";
import { ownPinDirectory } from "./kernel/xdp-pins.ts";
import { Router } from "./router.ts";

async function run(options: RouterOptions, isJoined: boolean): Promise<void> {
  const token = await EdgeToken.open(options.tokenFile, "router");
  if (options.isDryRun) return dryRun(options, (line) => console.log(line));
  if (!mayAdministerNetwork()) {
    throw new CommandFault(
      "kernel-unavailable",
      "A router writes rules into the kernel: run it as root or with CAP_NET_ADMIN, or --dry-run.",
    );
  }
  const log = openLog({ router: token.subject });
  const onFault = (sentence: string): void => log.error(sentence);
  const state = await StateDirectory.open(options.stateDirectory, onFault, options);
  if (!state.isBound) log.warn(UNBOUND_STATE);
  const { config, steering } = options;
  const kernel = new ChosenKernel({
    config,
    steering,
    pinDirectory: await ownPinDirectory(config.table),
    onChoice: ({ backEnd, sentence }) => log.info({ backEnd }, `steered by ${backEnd}: ${sentence}`),
  });
  const router = new Router(options, token, state, kernel, log);
  try {
    await router.start();
  } catch (fault) {
    await state.close();
    throw fault;
  }
  const { pool, tokenFile } = options;
  new TokenEndWatch({ token: () => token.read(), tokenFile, role: "router", pool, log }).start();
  if (isJoined) new TokenRenewal({ edge: options.edge, tokenFile: options.tokenFile, log }).start();
  endOnWish({
    log,
    beginning: "leaving the pool",
    done: options.isRemovedAtEnd ? "the kernel's rules are gone" : "the kernel steers on by what it has",
    end: () => router.end(),
  });
}

/** What `--check-config` opens. */
function namedFilesOf({ tokenFile, metrics }: RouterOptions, isJoined: boolean): readonly NamedFiles[] {
  const ofEdge = judgedFile("--token-file", tokenFile, () => EdgeToken.open(tokenFile, "router"));
  return [...(isJoined ? [] : [ofEdge]), ...metricsFiles(metrics)];
}

function write(text: string): void {
  process.stdout.write(text);
}

await begin("ipshard router", async () => {
  const said = await configured("router", routerCommand(write), process.argv.slice(2));
  const joined = await joinFirst(said.args, "router", said).catch((fault: unknown) => {
    throw said.locate(fault);
  });
  const options = readConfigured(said, () => parseCommandLine(joined.args, write));
  if (options === null) return;
  if (!said.isCheck) return run(options, joined.tokenFile !== null);
  // The token of a join is judged with the join.
  const files = said.areFilesElsewhere ? [] : namedFilesOf(options, joined.tokenFile !== null);
  await checkNamedFiles(files).catch((fault: unknown) => {
    throw said.locate(fault);
  });
  write(`${CONFIGURATION_GOOD}\n`);
});
