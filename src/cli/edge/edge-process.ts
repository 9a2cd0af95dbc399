/** The self-hosted edge: the Worker of `wrangler.toml` on plain workerd, with its storage on disk. */
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { get as httpGet, type IncomingMessage } from "node:http";
import { get as httpsGet } from "node:https";
import { join } from "node:path";
import { makeDirectory, makeOwnDirectory } from "../../process/directories.ts";
import type { ChildSpec } from "../supervision/child.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { ensureMetricsToken } from "../credentials/metrics-token.ts";
import { issuerKeySet, type KeyPairs } from "../credentials/key-files.ts";
import type { StatePaths } from "../state-paths.ts";
import { serveCopies } from "./copy-service.ts";
import { removeEmptyDatabases } from "./edge-files.ts";
import { type EdgeTls, NO_TLS, prepareTls } from "./edge-tls.ts";
import { placePage } from "./page-build.ts";
import { refuseTunnels } from "./tunnel-refusal.ts";
import { waitUntil } from "../supervision/waiting.ts";
import { besideDeclaration, placeWorker, WRANGLER_TOML } from "./worker-bundle.ts";
import { workerdProgram } from "./workerd-program.ts";
import { BUNDLE_FILE, workerdConfig } from "./workerd-config.ts";
import { type EdgeDeclaration, parseWranglerConfig } from "./wrangler-config.ts";

/** The name of the edge among the processes of a state directory. */
export const EDGE_NAME = "edge";

const READY_TIMEOUT_MS = 20_000;
const STOP_GRACE_MS = 1_000;

/** Those decisions that get a line in the log. */
export type DecisionLevel = "none" | "refused" | "all";

/** Where an edge shall listen. */
export interface EdgeOptions {
  readonly host: string;
  readonly port: number;
  /** Plain HTTP, and gateways by what browsers trust, where nothing is said. */
  readonly tls?: EdgeTls;
  /** Which answers of the egress API get a line in its log; none where nothing is said. */
  readonly logDecisions?: DecisionLevel;
  /** Where a collector takes spans. */
  readonly collector?: string | null;
}

/** Bundles and configures the edge, and answers what to start. */
export async function prepareEdge(
  state: StatePaths,
  keys: KeyPairs,
  options: EdgeOptions,
): Promise<ChildSpec> {
  const declaration = onThisMachine(parseWranglerConfig(await readFile(WRANGLER_TOML, "utf8")), options);
  const command = workerdProgram(declaration.compatibilityDate);
  const config = join(state.edge, "config.capnp");
  // Keys by which the edge signs come to be in its storage, and workerd makes files that all can read.
  makeOwnDirectory(state.edge);
  makeDirectory(state.edgeStorage);
  removeEmptyDatabases(state);
  const assets = besideDeclaration(declaration.assets.directory);
  await Promise.all([
    placeWorker(declaration.main, join(state.edge, BUNDLE_FILE)),
    placePage(assets, (sentence) => console.error(sentence)),
  ]);
  const { host, port, tls = NO_TLS } = options;
  const copies = await serveCopies(state);
  const tunnels = await refuseTunnels();
  const place = { host, port, storage: state.edgeStorage, assets, tunnels, copies: copies.address };
  await writeFile(config, workerdConfig(declaration, { ...place, ...(await prepareTls(state.edge, tls)) }));
  return {
    name: EDGE_NAME,
    command,
    args: ["serve", "--experimental", config],
    env: environmentOf(declaration, {
      ISSUER_KEYS: await issuerKeySet(state),
      EDGE_KEY: JSON.stringify(keys.edge),
      RESTORATION: await restorationText(state),
      METRICS_TOKEN: await ensureMetricsToken(state),
      COPIES_KEY: copies.key,
    }),
    mark: config,
    logFile: state.logFile(EDGE_NAME),
    graceMs: STOP_GRACE_MS,
  };
}

/** With what only an edge on a machine of its own has: one isolate, whose counts say something. [MT8] */
function onThisMachine(
  declaration: EdgeDeclaration,
  { logDecisions = "none", collector }: EdgeOptions,
): EdgeDeclaration {
  const { vars, secretNames } = declaration;
  return {
    ...declaration,
    vars: { ...vars, SELF_HOSTED: "1", LOG_DECISIONS: logDecisions, OTLP_URL: collector ?? "" },
    secretNames: [...secretNames, "METRICS_TOKEN", "COPIES_KEY"],
  };
}

/** The values behind the names that `wrangler.toml` gives: what this edge signs with and trusts. */
function environmentOf(
  declaration: EdgeDeclaration,
  made: Readonly<Record<string, string>>,
): Record<string, string> {
  const values: Record<string, string> = { ...declaration.vars, ...made };
  const missing = declaration.secretNames.find((name) => !(name in values));
  if (missing !== undefined) {
    throw new CommandFault(
      "edge-config-invalid",
      `wrangler.toml asks for the secret ${missing}, which this command does not know how to make.`,
    );
  }
  return values;
}

/** Of the backup that this state was restored from; empty for none. [OC1] */
async function restorationText(state: StatePaths): Promise<string> {
  try {
    return await readFile(state.restorationFile, "utf8");
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw fault;
  }
}

/** Nothing is told to it, so whose certificate it shows does not matter; this machine need not trust it. */
export async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  const get = url.startsWith("https:") ? httpsGet : httpGet;
  const request = get(url, { signal, agent: false, rejectUnauthorized: false });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  return response.statusCode === 200;
}

/** Resolves when the edge answers; throws `edge-not-answering` if it does not in time. */
export async function untilEdgeAnswers(url: string, logFile: string, stop: AbortSignal): Promise<void> {
  const isThere = await waitUntil((signal) => answers(`${url}/health`, signal), READY_TIMEOUT_MS, stop);
  if (isThere || stop.aborted) return;
  throw new CommandFault(
    "edge-not-answering",
    `The edge at ${url} does not answer; its log says why: ${logFile}`,
  );
}
