/**
 * The stand-in as a Worker: for Miniflare, to be bound as a service, and for vitest. The options have the
 * shape that Miniflare 4 and `@cloudflare/vitest-plugin` take; Miniflare 5 takes them by its
 * `convertV4MiniflareOptions`. [TE4]
 */
import { readFileSync } from "node:fs";
import type { StandInOptions } from "../edge/stand-in-edge.ts";

/** How the Worker begins. */
export interface EgressWorkerOptions extends StandInOptions {
  /** Of the Worker; `egress-stand-in` where nothing is said. */
  readonly name?: string;
  /** A service that answers in the place of every destination of which nothing was told: a Worker's name, or what Miniflare takes for one. */
  readonly destination?: unknown;
}

/** A Worker, as Miniflare takes it. */
export interface EgressWorker {
  name: string;
  modules: true;
  script: string;
  compatibilityDate: string;
  bindings: { STAND_IN: StandInOptions };
  serviceBindings: Record<string, never>;
}

/** A service binding, as Miniflare takes it. */
export interface EgressBinding {
  name: string;
  entrypoint: "Egress";
  props: { pool?: string; client?: string };
}

/** The Worker's name, where nothing is said. */
export const DEFAULT_NAME = "egress-stand-in";
/** Old enough for every workerd that is still in use. */
const COMPATIBILITY_DATE = "2025-09-01";
/** Built beside this. */
const SCRIPT = new URL("./stand-in-worker.js", import.meta.url);

/** The Worker: its default export is the edge at its URL, its entrypoint `Egress` the service. */
export function egressWorker(options: EgressWorkerOptions = {}): EgressWorker {
  const { name = DEFAULT_NAME, destination, ...standIn } = options;
  return {
    name,
    modules: true,
    script: readFileSync(SCRIPT, "utf8"),
    compatibilityDate: COMPATIBILITY_DATE,
    bindings: { STAND_IN: standIn },
    // Its type is Miniflare's own, of whichever version.
    serviceBindings: (destination === undefined ? {} : { DESTINATION: destination }) as Record<string, never>,
  };
}

/** A service binding to it, for one pool or for all. */
export function egressBinding(
  options: { name?: string; pool?: string; client?: string } = {},
): EgressBinding {
  const { name = DEFAULT_NAME, ...props } = options;
  return { name, entrypoint: "Egress", props };
}
