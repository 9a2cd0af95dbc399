/** Whether a router can work: its token, its process, and what its process answers. */
import { decodeJwt } from "jose";
import { type Identity, permitsPool } from "../../core/identity.ts";
import { EdgeToken } from "../../link/edge-token.ts";
import { type Finding, good, note, problem, unknown } from "../../process/finding.ts";
import { CommandFault } from "../../process/command-fault.ts";
import type { RouterOptions } from "../command-line.ts";
import type { RunningRouter } from "./running-routers.ts";

/** The token file as it is now: whom it names, or why it cannot be read. */
export type TokenFacts = { readonly fault: string } | { readonly fault: null; readonly identity: Identity };

/** What `/health` answers: null where nothing is served, or why there was no answer. */
export type HealthFacts =
  | null
  | { readonly fault: string }
  | { readonly fault: null; readonly isReady: boolean };

/** The status of a router. */
export interface StatusFacts {
  readonly pool: string;
  readonly tokenFile: string;
  readonly token: TokenFacts;
  /** Hidden: there are some, but only root sees which. */
  readonly router: Pick<RunningRouter, "pid" | "isPaused"> | "hidden" | null;
  readonly health: HealthFacts;
}

const HEALTH_TIMEOUT_MS = 5_000;
const DAY_MS = 86_400_000;
/** From here on a token's end is worth a note. */
const NEAR_END_MS = 3 * DAY_MS;

/** Reads the token and asks the process. */
export async function observeStatus(
  options: RouterOptions,
  router: RunningRouter | "hidden" | null,
): Promise<StatusFacts> {
  const { pool, tokenFile, listen } = options;
  const isServed = listen !== null && router !== null && router !== "hidden" && !router.isPaused;
  return {
    pool,
    tokenFile,
    token: await readToken(tokenFile),
    router,
    health: isServed ? await askHealth(listen) : null,
  };
}

/** What is wrong with it, in sentences. [RT11] */
export function statusFindings(facts: StatusFacts, nowMs: number): Finding[] {
  return [...tokenFindings(facts, nowMs), ...processFindings(facts)];
}

function tokenFindings({ pool, tokenFile, token }: StatusFacts, nowMs: number): Finding[] {
  if (token.fault !== null) return [problem(token.fault)];
  const { subject, expiresAtMs } = token.identity;
  const renewal = `npx ipshard token --role router --name ${subject} --pool ${pool} > ${tokenFile}`;
  const findings: Finding[] = [];
  if (!permitsPool(token.identity, pool)) {
    findings.push(problem(`The token in ${tokenFile} does not permit the pool ${pool}: ${renewal}`));
  }
  if (nowMs >= expiresAtMs) {
    findings.push(problem(`The token in ${tokenFile} has expired; it is read again: ${renewal}`));
  } else if (nowMs >= expiresAtMs - NEAR_END_MS) {
    const end = new Date(expiresAtMs).toISOString();
    findings.push(note(`The token in ${tokenFile} ends at ${end}; it is read again: ${renewal}`));
  }
  return findings;
}

function processFindings({ router, health }: StatusFacts): Finding[] {
  if (router === null) {
    return [
      problem(
        "No router runs here with this state directory: the kernel steers on by what it applied last, " +
          "and new blocks are not steered. Start ipshard router.",
      ),
    ];
  }
  if (router === "hidden")
    return [unknown("Only root sees whether one of the routers that run here is this one.")];
  const name = `The router (pid ${router.pid})`;
  if (router.isPaused) return [problem(`${name} is stopped by a signal: kill -CONT ${router.pid}`)];
  if (health === null) return [good(`${name} runs; without --listen nobody can ask it whether it is ready.`)];
  if (health.fault !== null) {
    return [problem(`${name} runs, but its /health does not answer (${health.fault}): restart it.`)];
  }
  if (health.isReady) return [good(`${name} runs and is ready.`)];
  return [
    problem(`${name} is not ready: its kernel has not applied the pool's table yet. Its log says why.`),
  ];
}

async function readToken(file: string): Promise<TokenFacts> {
  try {
    const token = await EdgeToken.open(file, "router");
    const { pools, exp } = decodeJwt<{ pools?: readonly string[] }>(await token.read());
    const { subject } = token;
    const expiresAtMs = 1_000 * (exp ?? 0);
    return { fault: null, identity: { role: "router", subject, pools: pools ?? [], expiresAtMs } };
  } catch (fault) {
    if (!(fault instanceof CommandFault)) throw fault;
    return { fault: fault.message };
  }
}

async function askHealth({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<HealthFacts> {
  const own = { "0.0.0.0": "127.0.0.1", "::": "::1" }[host] ?? host;
  const place = own.includes(":") ? `[${own}]` : own;
  try {
    const signal = AbortSignal.timeout(HEALTH_TIMEOUT_MS);
    const response = await fetch(`http://${place}:${port}/health`, { signal });
    const { ready } = (await response.json()) as { readonly ready?: boolean };
    return { fault: null, isReady: ready === true };
  } catch (fault) {
    const { cause, message } = fault as Error & { readonly cause?: { readonly code?: string } };
    return { fault: cause?.code ?? message };
  }
}
