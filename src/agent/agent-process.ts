/** One agent from its command line to its last signal. */
import { type Logger, destination, pino } from "pino";
import { Agent } from "./agent.ts";
import { StartFault } from "../link/start-fault.ts";
import { type AgentConfig, parseConfig } from "./config.ts";
import { EdgeToken } from "../link/edge-token.ts";
import { StateDirectory } from "../link/state-directory.ts";

/** A Ctrl-C may come from the terminal and from a launcher at once: that is one wish. */
const SAME_WISH_MS = 500;

async function run(config: AgentConfig): Promise<void> {
  const token = await EdgeToken.open(config.tokenFile, "host");
  // Synchronous, so that the last line before an end is not lost.
  const log = pino({ base: { host: token.subject } }, destination({ fd: 2, sync: true }));
  endOnFaults(log);
  const state = await StateDirectory.open(config.stateDirectory, (fault) => {
    log.error({ err: fault }, "the state directory cannot be written");
  });
  const agent = new Agent(config, token, state, log);
  try {
    await agent.start();
  } catch (fault) {
    await state.close();
    throw fault;
  }
  endOnWish(agent, log);
}

function endOnWish(agent: Agent, log: Logger): void {
  let wishedAtMs: number | null = null;
  const end = (why: string): void => {
    const nowMs = performance.now();
    if (wishedAtMs !== null) {
      if (nowMs - wishedAtMs < SAME_WISH_MS) return;
      log.warn(`${why} again: ending at once`);
      process.exit(1);
    }
    wishedAtMs = nowMs;
    log.info(`${why}: taking no new requests, giving the leases back`);
    agent.drain().then(
      () => {
        log.info("all leases given back");
        process.exit(0);
      },
      (fault: unknown) => fail(log, fault),
    );
  };
  process.on("SIGTERM", () => end("SIGTERM"));
  process.on("SIGINT", () => end("SIGINT"));
  // Whoever started this agent over a channel is gone.
  process.on("disconnect", () => end("the parent process has gone"));
}

function endOnFaults(log: Logger): void {
  process.on("uncaughtException", (fault) => fail(log, fault));
  process.on("unhandledRejection", (fault) => fail(log, fault));
}

function fail(log: Logger, fault: unknown): void {
  log.fatal({ err: fault }, "ending because of a fault that nobody foresaw");
  process.exit(1);
}

try {
  const config = parseConfig(process.argv.slice(2), (text) => process.stdout.write(text));
  if (config !== null) await run(config);
} catch (fault) {
  if (!(fault instanceof StartFault)) throw fault;
  console.error(`ipshard agent: ${fault.message} [${fault.code}]`);
  process.exitCode = 1;
}
