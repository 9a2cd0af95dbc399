/**
 * What is wrong with how a proxy took what was said to it: by the strict reader's word on the bytes,
 * by what the origin was sent, and by what the client was answered.
 */
import { answerTextOf, type RecordedConnection } from "./recording-origin.ts";
import { readAnswers, type StrictAnswer } from "./strict-answers.ts";
import { type Head, readAllStrictly, type Reading, type StrictRequest } from "./strict-request.ts";
import { readTarget, type StrictTarget } from "./strict-target.ts";

/** What was said, and all that came of it. */
export interface Heard {
  readonly said: Buffer;
  readonly answered: string;
  readonly connections: readonly RecordedConnection[];
}

/** A request as it should be passed on. */
interface Due {
  readonly request: StrictRequest;
  readonly target: StrictTarget | null;
  /** Nothing speaks for refusing it. */
  readonly isClear: boolean;
  isSeen: boolean;
}

const REFUSED = /^ipshard(?:;error=\w+)?;details="([\w-]+)"$/;
/** What an origin must bear as the client wrote it. */
const PASSED_ON = new Set([
  "unknown method",
  "target characters",
  "upgrade",
  "trailer",
  "control character",
  "long head",
  "leading zero",
]);

/** The code of a refusal; null for an answer of the origin's. */
export function refusalOf({ fields }: StrictAnswer): string | null {
  return REFUSED.exec(fields.get("proxy-status") ?? "")?.[1] ?? null;
}

/** Judges one connection of a client; `refusals` are the codes that it was told. */
export function judgeHttp({ said, answered, connections }: Heard): {
  readonly findings: string[];
  readonly refusals: readonly string[];
  readonly forwardedCount: number;
  /** What must be refused was passed over in silence. */
  readonly isUnanswered: boolean;
} {
  const findings: string[] = [];
  const readings = readAllStrictly(said);
  const dues = readings.filter((reading) => reading.kind === "request").map(dueOf);
  const last = readings.at(-1);
  const tail = last === undefined || last.kind === "request" ? null : last;
  const methods = readings.map((reading) => methodOf(reading));
  const { answers, rest } = readAnswers(answered, methods);
  const tunnel = dues.findIndex(({ request }) => request.method === "CONNECT");
  const isTunnel = tunnel !== -1 && answers[tunnel]?.status === 200;
  const others = isTunnel
    ? withoutTunnel(connections, said.subarray(dues[tunnel]!.request.endAt), findings)
    : connections;
  if (!isTunnel && rest !== "") findings.push(`what is no answer came: ${JSON.stringify(rest.slice(0, 80))}`);
  judgeSeen(others, dues, tail, findings);
  judgeAnswers(answers, dues, tail, findings);
  const isUnanswered =
    tail?.kind === "broken" && answers.length === dues.length && dues.every(({ isClear }) => isClear);
  const refusals = answers.map(refusalOf).filter((code) => code !== null);
  if (refusals.includes("internal-fault")) findings.push("a fault of ours");
  const forwardedCount = dues.filter(({ isSeen }) => isSeen).length + (isTunnel ? 1 : 0);
  return { findings, refusals, forwardedCount, isUnanswered };
}

/** The methods of what a client is to have an answer to, in turn. */
export function dueAnswers(said: Buffer): string[] {
  return readAllStrictly(said)
    .filter(({ kind }) => kind !== "cut")
    .map((reading) => methodOf(reading));
}

function methodOf(reading: Reading): string {
  if (reading.kind === "request") return reading.method;
  // Who cannot read a head does not know for what it is.
  return reading.head?.method ?? "GET";
}

function dueOf(request: StrictRequest): Due {
  const isConnect = request.method === "CONNECT";
  // Clients of WebSockets may write their own scheme.
  const target = isConnect ? null : readTarget(request.method, request.target.replace(/^ws:/i, "http:"));
  const isClear = isConnect
    ? /^[\d.]+:[1-9]\d*$/.test(request.target) && isPlain(request.target)
    : target !== null && target.doubts.length === 0 && !/^ws:/i.test(request.target);
  return { request, target, isClear: isClear && request.doubts.length === 0, isSeen: false };
}

function isPlain(place: string): boolean {
  return readTarget("GET", `http://${place}`)?.doubts.length === 0;
}

function withoutTunnel(
  connections: readonly RecordedConnection[],
  through: Buffer,
  findings: string[],
): readonly RecordedConnection[] {
  if (through.length === 0) return connections;
  const own = connections.find(({ bytes }) => bytes.equals(through));
  if (own === undefined) findings.push("what was sent through the tunnel did not arrive as it was");
  return connections.filter((connection) => connection !== own);
}

function judgeSeen(
  connections: readonly RecordedConnection[],
  dues: readonly Due[],
  tail: Exclude<Reading, StrictRequest> | null,
  findings: string[],
): void {
  for (const { requests, bytes, readAt, brokenBy, isClosed } of connections) {
    for (const seen of requests) {
      const due = dues.find((each) => !each.isSeen && isOf(seen, each));
      if (due === undefined) {
        findings.push(`the origin saw what nobody asked for: ${seen.method} ${JSON.stringify(seen.target)}`);
        continue;
      }
      due.isSeen = true;
      findings.push(...differences(seen, due));
    }
    if (brokenBy !== null) findings.push(`the origin was sent what is no request: ${brokenBy}`);
    else if (readAt < bytes.length) {
      const left = bytes.toString("latin1", readAt, readAt + 300);
      // One that was right may have been begun, too, when the answer to another ended its connection.
      const beginnings: Pick<Head, "method" | "target">[] = dues
        .filter(({ isSeen }) => !isSeen)
        .map(({ request }) => request);
      if (tail?.head) beginnings.push(tail.head);
      const isKnown = beginnings.some(({ method, target }) =>
        left.startsWith(`${method} ${readTarget(method, target)?.path} `),
      );
      if (!isKnown)
        findings.push(
          `the origin saw the beginning of what nobody asked for: ${JSON.stringify(left.slice(0, 80))}`,
        );
      else if (!isClosed) findings.push("a request that never ends is left at the origin");
    }
  }
}

function isOf(seen: StrictRequest, { request, target }: Due): boolean {
  return target !== null && seen.method === request.method && seen.target === target.path;
}

function differences(seen: StrictRequest, { request, target }: Due): string[] {
  const found: string[] = [];
  const valueOf = ({ fields }: StrictRequest, name: string): string =>
    fields
      .filter((field) => field[0] === name)
      .map((field) => field[1])
      .join();
  if (!seen.body.equals(request.body)) found.push("the body is another");
  if (target!.host !== null && valueOf(seen, "host") !== target!.host)
    found.push(`host is ${valueOf(seen, "host")}`);
  const doubts = seen.doubts.filter((doubt) => !PASSED_ON.has(doubt));
  if (doubts.length > 0) found.push(`what was passed on is doubtful: ${doubts.join()}`);
  if (
    !/mark/i.test(valueOf(request, "connection")) &&
    valueOf(seen, "x-mark") !== valueOf(request, "x-mark")
  ) {
    found.push(`x-mark is ${JSON.stringify(valueOf(seen, "x-mark"))}`);
  }
  return found;
}

function judgeAnswers(
  answers: readonly StrictAnswer[],
  dues: readonly Due[],
  tail: Exclude<Reading, StrictRequest> | null,
  findings: string[],
): void {
  let isAllClear = true;
  for (const [turn, due] of dues.entries()) {
    const { request, target, isClear } = due;
    isAllClear &&= isClear;
    const answer = answers[turn];
    if (answer === undefined) {
      if (isAllClear) findings.push(`answer ${turn} is missing`);
      continue;
    }
    if (refusalOf(answer) !== null) {
      if (isClear) findings.push(`what is right was refused: ${refusalOf(answer)}`);
      continue;
    }
    if (request.method === "CONNECT") {
      if (answer.status !== 200) findings.push(`CONNECT was answered ${answer.status}`);
      continue;
    }
    const text = request.method === "HEAD" ? "" : answerTextOf(target?.path ?? "", request.body);
    if (answer.status !== 200 || answer.body !== text || answer.isCut) {
      findings.push(
        `answer ${turn} is not its own: ${answer.status} ${JSON.stringify(answer.body.slice(0, 80))}`,
      );
    }
    if (!due.isSeen) findings.push(`answer ${turn} is to what the origin did not see`);
  }
  const beyond = answers.slice(dues.length);
  if (beyond.length > (tail === null ? 0 : 1)) findings.push(`${beyond.length} answers too many`);
  for (const answer of beyond) {
    if (refusalOf(answer) === null) findings.push(`what is broken was answered: ${answer.status}`);
  }
}
