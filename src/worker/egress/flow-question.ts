/** Asks the host that had a port who used it. [AT6] */
import type { HostAnswer } from "../../api/holder-schemas.ts";
import type { KnownLease } from "../../core/port-history.ts";
import { FLOWS_PATH, type FlowAnswer, flowAnswerSchema } from "../../wire/flow-answer.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { edgeKeysOf } from "../identity/edge-keys.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { say } from "../runtime/log.ts";

/** What is asked. */
export interface FlowsWanted {
  readonly ip: string;
  readonly port: number;
  readonly atMs: number;
  readonly throughMs: number;
  readonly protocol: "tcp" | "udp" | null;
  readonly destination: string | null;
}

/** Searching a large log takes a while. */
const ANSWER_DEADLINE_MS = 10_000;
/** More than the longest answer has. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** What a host says, or why it says nothing. */
export async function askHost(
  { host, pool }: KnownLease,
  wanted: FlowsWanted,
  env: Environment,
): Promise<HostAnswer> {
  const hosts = await askControlPlane(async () => env.EGRESS_POOL.getByName(pool).hosts());
  if (!hosts.ok) return silent("unreachable", "The pool does not answer.");
  const known = hosts.value.ok ? hosts.value.value.find((one) => one.host === host) : undefined;
  if (known === undefined) return silent("host-unknown", null);
  try {
    const token = await edgeKeysOf(env).gatewayTokens.forAttribution(host, pool, Date.now());
    const response = await fetch(`${known.gateway}${FLOWS_PATH}?${queryOf(wanted)}`, {
      headers: { [EGRESS_AUTHORIZATION]: `Bearer ${token}` },
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_DEADLINE_MS),
    });
    const said = parseJson(await textWithin(response, MAX_ANSWER_BYTES));
    if (response.status !== 200) return silent("refused", codeIn(said) ?? `status ${response.status}`);
    const answer = flowAnswerSchema.safeParse(said);
    if (!answer.success) return silent("refused", "What it answers is not of this version.");
    return { state: "answered", detail: null, log: answer.data satisfies FlowAnswer };
  } catch (fault) {
    say("warn", "a host could not be asked for its flows", { host, pool }, fault);
    return silent("unreachable", known.live ? "Its gateway does not answer." : "The host is not heard.");
  }
}

function silent(state: HostAnswer["state"], detail: string | null): HostAnswer {
  return { state, detail, log: null };
}

function queryOf({ ip, port, atMs, throughMs, protocol, destination }: FlowsWanted): string {
  const query = new URLSearchParams({ ip, port: String(port), at: String(atMs) });
  if (throughMs !== atMs) query.set("through", String(throughMs));
  if (protocol !== null) query.set("protocol", protocol);
  if (destination !== null) query.set("destination", destination);
  return query.toString();
}

/** A host that is not as it should be must not fill the memory of the edge. */
async function textWithin(response: Response, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let byteCount = 0;
  for await (const chunk of response.body ?? []) {
    byteCount += chunk.byteLength;
    if (byteCount > maxBytes) throw new Error("The answer is too long.");
    text += decoder.decode(chunk as Uint8Array, { stream: true });
  }
  return text + decoder.decode();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function codeIn(said: unknown): string | null {
  const code = (said as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code.slice(0, 64) : null;
}
