/**
 * Answers of origins, right, cut off and broken, each asked for whole and in segments: what is
 * right arrives as it was, what is cut off never looks whole, and the same bytes give the same
 * result. Asked of the gateways, and of the edge.
 */
import { Agent, request } from "undici";
import { type AnswerOrigin, type Script, startAnswerOrigin } from "./answer-origin.ts";
import { type AnswerPlan, drawAnswer, drawSegments } from "./answer-plan.ts";
import { Chance } from "./chance.ts";
import { ORIGIN_IPS, SECURE_NAME, type Target } from "./target.ts";

const LANES = 24;
const MOST_FINDINGS = 20;
const CLIENT_TIMEOUT_MS = 20_000;

/** What a client saw, in a word or a few: the same text, the same result. */
type Result = string;

/** What a run came to. */
export interface AnswerTally {
  answerCount: number;
  readonly results: Record<string, number>;
  readonly findings: string[];
}

/** Asks for answers until time is up. */
export async function runAnswers(
  target: Target,
  seed: number,
  durationMs: number,
  mostCount = Infinity,
): Promise<AnswerTally> {
  const chance = new Chance(seed);
  const origin = await startAnswerOrigin();
  const client = new Agent({
    connections: LANES,
    headersTimeout: CLIENT_TIMEOUT_MS,
    bodyTimeout: CLIENT_TIMEOUT_MS,
  });
  const tally: AnswerTally = { answerCount: 0, results: {}, findings: [] };
  const asker = { target, origin, client };
  const endMs = performance.now() + durationMs;
  const lane = async (): Promise<void> => {
    while (
      performance.now() < endMs &&
      tally.answerCount < mostCount &&
      tally.findings.length < MOST_FINDINGS &&
      target.isAlive()
    ) {
      tally.answerCount += 1;
      const plan = drawAnswer(tally.answerCount, chance);
      const isByEdge = chance.is(0.3);
      const whole = await ask(asker, { plan, segments: [plan.bytes.length] }, "whole", isByEdge);
      const inSegments = await ask(
        asker,
        { plan, segments: drawSegments(plan.bytes.length, chance) },
        "cut",
        isByEdge,
      );
      const kind = `${plan.expected.kind}: ${whole.split(" ")[0]}`;
      tally.results[kind] = (tally.results[kind] ?? 0) + 1;
      for (const fault of judge(plan, whole, inSegments)) {
        tally.findings.push(
          `answer ${plan.id}${isByEdge ? " by the edge" : ""}${plan.secure ? " by TLS" : ""} (${plan.told}): ${fault}\n  ${JSON.stringify(plan.bytes.toString("latin1").slice(0, 240))}`,
        );
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } finally {
    await client.destroy();
    origin.close();
  }
  return tally;
}

interface Asker {
  readonly target: Target;
  readonly origin: AnswerOrigin;
  readonly client: Agent;
}

async function ask(asker: Asker, script: Script, how: string, isByEdge: boolean): Promise<Result> {
  const { target, origin, client } = asker;
  const { plan } = script;
  const key = `${plan.id}-${how}`;
  origin.scripts.set(key, script);
  const destination = plan.secure
    ? `https://${SECURE_NAME}:${origin.securePort}/${key}`
    : `http://${ORIGIN_IPS[0]}:${origin.plainPort}/${key}`;
  const ports = target.gatewayPorts();
  const base = isByEdge ? target.cluster.edgeUrl : `http://127.0.0.1:${ports[plan.id % ports.length]}`;
  const headers = isByEdge
    ? await target.cluster.clientHeaders()
    : { "egress-authorization": `Bearer ${await target.gatewayToken()}` };
  try {
    const url = `${base}/v1/fetch?url=${encodeURIComponent(destination)}`;
    const reply = await request(url, { headers, dispatcher: client });
    const status = String(reply.headers["proxy-status"] ?? "");
    const refusal = /^ipshard(?:;error=\w+)?;details="([\w-]+)"$/.exec(status)?.[1];
    const body = await reply.body.text();
    if (refusal !== undefined) return `refused ${refusal}`;
    return `complete ${reply.statusCode} ${body}`;
  } catch (fault) {
    const { code } = fault as { readonly code?: string };
    return `broken ${code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT" ? "by silence" : ""}`;
  } finally {
    origin.scripts.delete(key);
  }
}

/** What is wrong with what was seen. */
function judge({ expected }: AnswerPlan, whole: Result, inSegments: Result): string[] {
  const faults: string[] = [];
  for (const [how, seen] of [
    ["in one piece", whole],
    ["in segments", inSegments],
  ] as const) {
    if (seen.includes("internal-fault") || seen.includes("host-lost") || seen.includes("silence")) {
      faults.push(`${how}: ${shown(seen)}`);
    } else if (expected.kind === "whole" && seen !== `complete ${expected.status} ${expected.body}`) {
      faults.push(`${how}: ${shown(seen)} instead of ${expected.status}`);
    } else if (expected.kind === "broken" && seen.startsWith("complete")) {
      faults.push(`${how}: looks whole: ${shown(seen)}`);
    }
  }
  // A refusal and a break differ only by whether the head had gone out before.
  const outcomeOf = (seen: Result): string => (seen.startsWith("complete") ? seen : "nothing whole");
  if (expected.kind === "same" && outcomeOf(whole) !== outcomeOf(inSegments)) {
    faults.push(`${shown(whole)} in one piece, ${shown(inSegments)} in segments`);
  }
  return faults;
}

function shown(result: Result): string {
  return JSON.stringify(result.length > 120 ? `${result.slice(0, 120)}… (${result.length})` : result);
}
