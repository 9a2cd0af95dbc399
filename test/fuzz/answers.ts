/**
 * Answers of origins, right, cut off and broken, each asked for whole and in segments: what is
 * right arrives as it was, what is cut off never looks whole, and the same bytes give the same
 * result. Asked of the gateways, of the edge, and of the proxies.
 */
import { AnswerClient, drawWay, judge } from "./answer-client.ts";
import { startAnswerOrigin } from "./answer-origin.ts";
import { drawAnswer, drawSegments } from "./answer-plan.ts";
import { Chance } from "./chance.ts";
import { ORIGIN_IPS, SECURE_NAME, type Target } from "./target.ts";

const LANES = 24;
/** Within which a host has noticed that a connection has ended, on a busy machine too. */
export const PAUSE_MS = 100;
const MOST_FINDINGS = 20;

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
  const origin = await startAnswerOrigin();
  const client = new AnswerClient(target, LANES);
  const tally: AnswerTally = { answerCount: 0, results: {}, findings: [] };
  const endMs = performance.now() + durationMs;
  const lane = async (): Promise<void> => {
    // What is broken may have more to it than it says, and that would be taken for the next answer.
    const ofBroken = await startAnswerOrigin();
    while (
      performance.now() < endMs &&
      tally.answerCount < mostCount &&
      tally.findings.length < MOST_FINDINGS &&
      target.isAlive()
    ) {
      tally.answerCount += 1;
      // By its number alone, so that one can be asked for again.
      const chance = new Chance(seed + tally.answerCount);
      const plan = drawAnswer(tally.answerCount, chance);
      const way = drawWay(chance);
      const ask = async (segments: readonly number[], how: string): Promise<string> => {
        const key = `${plan.id}-${how}`;
        const isAlone = plan.expected.kind === "same";
        const { scripts, securePort, plainPort, disconnect } = isAlone ? ofBroken : origin;
        scripts.set(key, { plan, segments });
        const place = plan.secure
          ? `https://${SECURE_NAME}:${securePort}`
          : `http://${ORIGIN_IPS[0]}:${plainPort}`;
        const seen = await client.ask(`${place}/${key}`, way, plan.id);
        scripts.delete(key);
        if (isAlone) {
          disconnect();
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        }
        return seen;
      };
      const whole = await ask([plan.bytes.length], "whole");
      const inSegments = await ask(drawSegments(plan.bytes.length, chance), "cut");
      const kind = `${plan.expected.kind}: ${whole.split(" ")[0]}`;
      tally.results[kind] = (tally.results[kind] ?? 0) + 1;
      for (const fault of judge(plan.expected, whole, inSegments)) {
        tally.findings.push(
          `answer ${plan.id} by the ${way}${plan.secure ? " by TLS" : ""} (${plan.told}): ${fault}\n  ${JSON.stringify(plan.bytes.toString("latin1").slice(0, 240))}`,
        );
      }
    }
    ofBroken.close();
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } finally {
    await client.close();
    origin.close();
  }
  return tally;
}
