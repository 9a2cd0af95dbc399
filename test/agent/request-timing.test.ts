/** How long the steps of a request took, told to the edge where its own token asks. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { type Origin, type Rig, startOrigin, startRig } from "./gateway-rig.ts";
import { CERTIFICATE, startSecureOrigin } from "./tls-origin.ts";

let rig: Rig;
let plain: Origin;
let secure: Awaited<ReturnType<typeof startSecureOrigin>>;

beforeAll(async () => {
  rig = await startRig({ authorities: [CERTIFICATE], records: { "origin.test": ["127.0.0.1"] } });
  plain = await startOrigin((_request, response) => response.end("plain"));
  secure = await startSecureOrigin("h2", (_request, response) => void response.end("secure"));
});
afterAll(async () => {
  plain.close();
  secure.close();
  await rig.close();
});

/** The steps that an answer tells, and how long each took. */
async function stepsOf(
  url: string,
  claims: Partial<Identity>,
): Promise<{ readonly status: number; readonly steps: readonly [string, number][] | null }> {
  const token = await rig.tokenSaying(claims);
  const headers = { "egress-authorization": `Bearer ${token}` };
  const response = await fetch(`${rig.url}/v1/fetch?url=${encodeURIComponent(url)}`, { headers });
  await response.text();
  const field = response.headers.get("egress-timing");
  const steps = field?.split(", ").map((step): [string, number] => {
    const [name, duration] = step.split(";dur=");
    return [name!, Number(duration)];
  });
  return { status: response.status, steps: steps ?? null };
}

const namesOf = ({ steps }: Awaited<ReturnType<typeof stepsOf>>): string[] | null =>
  steps?.map(([name]) => name) ?? null;

it("[DA10] of a request on a connection of its own are all told, of one on a kept connection the last", async () => {
  const first = await stepsOf(plain.url, { isTimed: true });
  expect(namesOf(first)).toEqual(["resolve", "dial", "first-byte"]);
  for (const [, tookMs] of first.steps!) expect(tookMs).toBeGreaterThanOrEqual(0);
  expect(namesOf(await stepsOf(plain.url, { isTimed: true }))).toEqual(["first-byte"]);
});

it("[DA10] of a request by TLS the handshake is one of them", async () => {
  expect(namesOf(await stepsOf(secure.url, { isTimed: true }))).toEqual([
    "resolve",
    "dial",
    "tls",
    "first-byte",
  ]);
});

it("[DA10] of a request that is refused those are told that were made", async () => {
  const closed = await startOrigin(() => {});
  closed.close();
  const refused = await stepsOf(closed.url, { isTimed: true });
  expect([refused.status, namesOf(refused)]).toEqual([502, ["resolve"]]);
});

it("[DA10] nobody else is told, whatever a token of another key says", async () => {
  expect(namesOf(await stepsOf(plain.url, {}))).toBeNull();
  // A client's, which the gateway does not take at all.
  expect(namesOf(await stepsOf(plain.url, { role: "client", isTimed: true }))).toBeNull();
});
