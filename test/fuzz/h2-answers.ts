/**
 * Answers of origins over HTTP/2, as `answers.ts` has them over HTTP/1.1. Each lane has an origin of
 * its own and each answer a connection of its own, so that none is another's fault.
 */
import { startFrameOrigin } from "../agent/h2-frame-origin.ts";
import { AnswerClient, drawWay, judge, type Way } from "./answer-client.ts";
import { drawSegments } from "./answer-plan.ts";
import { type AnswerTally, PAUSE_MS } from "./answers.ts";
import { Chance } from "./chance.ts";
import { drawH2Answer, type H2AnswerPlan } from "./h2-answer-plan.ts";
import { ORIGIN_IPS, RESPONSE_TIMEOUT_MS, SECURE_NAME, type Target } from "./target.ts";

const LANES = 24;
const MOST_FINDINGS = 20;

/** What the next request of an origin gets. */
interface Script {
  readonly plan: H2AnswerPlan;
  readonly segments: readonly number[];
}

/** Asks for answers until time is up. */
export async function runH2Answers(target: Target, seed: number, durationMs: number): Promise<AnswerTally> {
  const client = new AnswerClient(target, LANES);
  const tally: AnswerTally = { answerCount: 0, results: {}, findings: [] };
  const endMs = performance.now() + durationMs;
  const lane = async (): Promise<void> => {
    let script: Script | null = null;
    let sending = { fromMs: 0, toMs: Infinity };
    const origin = await startFrameOrigin(
      async (peer) => {
        peer.send(peer.settings());
        // Until its settings have been heard of, an agent sends nothing more.
        await peer.request();
        const { plan, segments } = script!;
        const current = { fromMs: performance.now(), toMs: Infinity };
        sending = current;
        let at = 0;
        for (const size of segments) {
          peer.send(plan.bytes.subarray(at, at + size));
          at += size;
          await new Promise((resolve) => setImmediate(resolve));
        }
        current.toMs = performance.now();
        if (plan.ending === "reset") peer.resetConnection();
        else peer.socket.end();
      },
      { ip: ORIGIN_IPS[0] },
    );
    const ask = async (plan: H2AnswerPlan, segments: readonly number[], way: Way): Promise<string> => {
      script = { plan, segments };
      const seen = await client.ask(`https://${SECURE_NAME}:${origin.port}/${plan.id}`, way, plan.id);
      // The next one must not begin on a connection that is about to end.
      origin.forgetPeers();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      return seen;
    };
    while (performance.now() < endMs && tally.findings.length < MOST_FINDINGS && target.isAlive()) {
      tally.answerCount += 1;
      // By its number alone, so that one can be asked for again.
      const chance = new Chance(seed + tally.answerCount);
      const plan = drawH2Answer(tally.answerCount, chance);
      const way = drawWay(chance);
      const whole = await ask(plan, [plan.bytes.length], way);
      const inSegments = await ask(plan, drawSegments(plan.bytes.length, chance), way);
      // An origin that was kept from sending for so long has had the right answer.
      const sentForMs = Math.min(sending.toMs, performance.now()) - sending.fromMs;
      if (sentForMs >= RESPONSE_TIMEOUT_MS && inSegments.includes("response-timeout")) {
        tally.results["slow"] = (tally.results["slow"] ?? 0) + 1;
        continue;
      }
      const kind = `${plan.expected.kind}: ${whole.split(" ")[0]}`;
      tally.results[kind] = (tally.results[kind] ?? 0) + 1;
      for (const fault of judge(plan.expected, whole, inSegments)) {
        tally.findings.push(`answer ${plan.id} by the ${way} (${plan.told}): ${fault}`);
      }
    }
    origin.close();
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } finally {
    await client.close();
  }
  return tally;
}
