/**
 * Whether a host's gateway is there, found out by asking it: the answer of the data path, which
 * needs no control plane. What was learnt is shared by the requests of an isolate as plain
 * data, so that many that wait for one host ask it once. [WK24]
 */
import type { PlacedHost } from "../../core/placement.ts";

/** A gateway that has not answered by then is in doubt. */
const ANSWER_DEADLINE_MS = 1_000;
/** And by then it has not answered at all. */
const LAST_DEADLINE_MS = 4_000;
const STEP_MS = 100;
/** How long an answer is used before the gateway is asked again. */
const SHARED_MS = 1_000;
/** Gateways that are remembered; beyond it the oldest is forgotten. */
const REMEMBERED_GATEWAYS = 4_096;

/** Of one request: Cloudflare lets it have six connections that wait, and its own is one of them. */
const MOST_OPEN = 2;
/** A question was ended for a later one, which says nothing of its gateway. */
const GIVEN_UP = "a later question takes its place";

/** What came of a question: its answer, none yet, or none at all. */
type Said = "there" | "waiting" | "lost";

interface Knowledge {
  /** When a question was begun or answered last: for so long what is known is used. */
  sharedFromMs: number;
  said: Said;
  /** When the question was asked that has found out most lately whether it is there. */
  asOfMs: number;
}

/**
 * The questions of one request that have no answer yet. The oldest stays, for it is the first to say that a
 * gateway is lost, and hears one that is slow; of the others the latest is enough. [WK24]
 */
export class OpenQuestions {
  readonly #open: AbortController[] = [];

  begin(): AbortController {
    const asking = new AbortController();
    if (this.#open.length === MOST_OPEN) this.#open.pop()!.abort(GIVEN_UP);
    this.#open.push(asking);
    return asking;
  }

  end(asking: AbortController): void {
    const at = this.#open.indexOf(asking);
    if (at !== -1) this.#open.splice(at, 1);
  }
}

/** What one isolate knows. */
export class HostHealth {
  readonly #known = new Map<string, Knowledge>();

  /** Whether a gateway is there, as of a moment ago; while another request asks, what was known. */
  async isThere({ gateway }: PlacedHost, questions?: OpenQuestions): Promise<boolean> {
    const known = this.#known.get(gateway);
    const ageMs = known === undefined ? Infinity : Date.now() - known.sharedFromMs;
    // A clock that was set back must not make it last.
    if (known === undefined || Math.abs(ageMs) >= SHARED_MS) return this.ask(gateway, questions);
    return known.said === "there";
  }

  /** Whether a gateway has left a question without any answer, and has answered none since. */
  isLost({ gateway }: PlacedHost): boolean {
    return this.#known.get(gateway)?.said === "lost";
  }

  /** Asks now; false after a second without an answer, which is still waited for. */
  async ask(gateway: string, questions = new OpenQuestions()): Promise<boolean> {
    const nowMs = Date.now();
    const before = this.#known.get(gateway);
    const present: Knowledge = {
      sharedFromMs: nowMs,
      said: before?.said ?? "there",
      asOfMs: Math.min(before?.asOfMs ?? 0, nowMs),
    };
    this.#known.delete(gateway);
    if (this.#known.size >= REMEMBERED_GATEWAYS) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(gateway, present);
    const deadline = new Deadline(ANSWER_DEADLINE_MS);
    const asking = questions.begin();
    const answer = answerOf(gateway, asking).finally(() => questions.end(asking));
    const said = await Promise.race([answer, deadline.passed.then(() => "waiting" as const)]);
    deadline.cancel();
    present.sharedFromMs = Date.now();
    this.#learn(this.#known.get(gateway) ?? present, said, nowMs);
    if (said === "waiting") {
      // One that was given up has found out nothing.
      const learn = (late: Said): void =>
        late === "waiting" ? undefined : this.#learn(this.#known.get(gateway) ?? present, late, nowMs);
      void answer.then(learn);
    }
    return said === "there";
  }

  /**
   * A silent gateway takes as long as an answer is shared, so the next question may have begun: unless
   * this one counts then too, each would be lost to the one after it. An answer counts however late.
   */
  #learn(known: Knowledge, said: Said, askedAtMs: number): void {
    if (said !== "there" && askedAtMs < known.asOfMs) return;
    if (said === "waiting") {
      // Nothing is found out by it: what comes of an earlier question counts yet.
      if (known.said === "there") known.said = said;
      return;
    }
    known.said = said;
    known.asOfMs = Math.max(known.asOfMs, askedAtMs);
  }
}

/**
 * A gateway that cannot serve says so, and is there; a proxy before it answers in another way. A question that
 * was given up still waits.
 */
async function answerOf(gateway: string, controller: AbortController): Promise<Said> {
  const deadline = new Deadline(LAST_DEADLINE_MS);
  void deadline.passed.then(() => controller.abort());
  try {
    const response = await fetch(`${gateway}/health`, { redirect: "manual", signal: controller.signal });
    const said = await response.json<{ status?: unknown } | null>();
    return typeof said?.status === "string" ? "there" : "lost";
  } catch {
    return controller.signal.reason === GIVEN_UP ? "waiting" : "lost";
  } finally {
    deadline.cancel();
  }
}

/**
 * Time that passes only as far as there is somebody to hear. A Worker that was held up for seconds, by
 * thousands of requests or a slow disk, finds its timers due before it comes to the answers that arrived
 * meanwhile: for it one step has passed. [WK24]
 */
class Deadline {
  readonly passed: Promise<void>;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(ms: number) {
    this.passed = new Promise((resolve) => {
      let leftMs = ms;
      const step = (): void => {
        if (leftMs <= 0) return resolve();
        leftMs -= STEP_MS;
        this.#timer = setTimeout(step, STEP_MS);
      };
      step();
    });
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }
}
