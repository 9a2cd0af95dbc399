/** What a pool's steering table is at this moment, asked without becoming one of its routers. */
import { pino } from "pino";
import type { SteeringTable } from "../../core/steering.ts";
import { EdgeToken } from "../../link/edge-token.ts";
import { PoolFeed } from "./pool-feed.ts";

/** Where to ask, and with which token. */
export interface PoolQuestion {
  readonly edge: URL;
  readonly pool: string;
  readonly tokenFile: string;
}

const POOL_TIMEOUT_MS = 10_000;

/** The pool's whole table as it is now, or why the edge does not give it. */
export async function askPool(
  question: PoolQuestion,
): Promise<{ readonly table: SteeringTable } | { readonly fault: string }> {
  const { edge, pool, tokenFile } = question;
  let reason = "it has not answered";
  const sink = { write: (line: string) => void (reason = (JSON.parse(line) as { msg: string }).msg) };
  const { promise, resolve } = Promise.withResolvers<{ table: SteeringTable } | { fault: string }>();
  const feed = new PoolFeed({
    edge,
    pool,
    // An observer needs none.
    instance: "",
    isObserver: true,
    token: async () => (await EdgeToken.open(tokenFile, "router")).read(),
    onConnected: () => {},
    onTable: (table) => resolve({ table }),
    onChange: () => {},
    log: pino({ level: "warn" }, sink),
  });
  feed.start();
  const timer = setTimeout(() => resolve({ fault: reason }), POOL_TIMEOUT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    feed.stop();
  }
}
