/**
 * The router in a process of its own, as `src/router/main.ts` runs it, but for two things: its
 * kernel is that of a network namespace, and it tells its parent when each change was handed
 * to the kernel and when the kernel had applied it.
 */
import { EdgeToken } from "../src/link/edge-token.ts";
import { endOnWish, openLog } from "../src/process/process-life.ts";
import { StateDirectory } from "../src/link/state-directory.ts";
import { ChosenKernel } from "../src/router/kernel/chosen-kernel.ts";
import { DEFAULT_ROUTER_CONFIG } from "../src/router/steering/router-config.ts";
import { Router } from "../src/router/router.ts";
import type { SteeringDelta } from "../src/router/steering/steering-kernel.ts";
import { commandsIn, pinDirectoryIn } from "../test/lab/kernel-in-namespace.ts";
import { nowMs } from "./report.ts";

/** One change in the kernel, by the clock that all processes of a machine share. */
export interface Step {
  readonly fromMs: number;
  readonly toMs: number;
}

/** How the process is called. */
export interface TimedRouterOptions {
  readonly edge: string;
  readonly pool: string;
  readonly tokenFile: string;
  readonly stateDirectory: string;
  readonly namespace: string;
  readonly backEnd: "xdp" | "nft";
}

/** The kernel of the router, with a watch beside it. */
class TimedKernel extends ChosenKernel {
  override async apply(delta: SteeringDelta): Promise<void> {
    const fromMs = nowMs();
    await super.apply(delta);
    process.send!({ fromMs, toMs: nowMs() } satisfies Step);
  }
}

const options = JSON.parse(process.argv[2]!) as TimedRouterOptions;
const token = await EdgeToken.open(options.tokenFile, "router");
const log = openLog({ router: token.subject });
const state = await StateDirectory.open(options.stateDirectory, (fault) => log.error({ err: fault }));
const config = { ...DEFAULT_ROUTER_CONFIG, ingressDevices: ["in0"], neighbourDevice: "out0" };
const router = new Router(
  {
    ...options,
    edge: new URL(options.edge),
    listen: null,
    config,
    metrics: null,
    steering: options.backEnd,
    isDryRun: false,
    isRemovedAtEnd: false,
    whenCopied: "refuse",
  },
  token,
  state,
  new TimedKernel({
    config,
    steering: options.backEnd,
    commands: commandsIn(options.namespace),
    pinDirectory: pinDirectoryIn(options.namespace, config.table),
    onChoice: () => {},
  }),
  log,
);
await router.start();
endOnWish({ log, beginning: "leaving the pool", done: "left", end: () => router.end() });
