/** Answers that come before the body of their request has been sent, through the edge. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster } from "./cluster.ts";

const BODY_BYTES = 2_000_000;
const PIECE_BYTES = 50_000;

let cluster: Cluster;
let headers: Record<string, string>;

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
  headers = await cluster.clientHeaders();
});
afterAll(() => cluster?.stop());

function body(framing: string): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (framing === "length") return new Uint8Array(BODY_BYTES);
  let left = BODY_BYTES;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(PIECE_BYTES));
      left -= PIECE_BYTES;
      if (left === 0) controller.close();
    },
  });
}

test.each([
  ["307 without a body", "/early?code=307", 307, ""],
  ["200 without a body, then the end of the connection", "/early?code=200&closes=1", 200, ""],
  ["413", "/early?code=413&text=too+much", 413, "too much"],
  ["413, then the end of the connection", "/early?code=413&text=too+much&closes=1", 413, "too much"],
])("[WK25] %s: the answer, 16 times of 16", async (_what, path, status, text) => {
  const seen: [number, string][] = [];
  for (let count = 0; count < 16; count += 1) {
    const init = { method: "POST", headers, redirect: "manual", duplex: "half" } as const;
    const framing = count % 2 === 0 ? "length" : "chunked";
    const response = await fetch(cluster.through(cluster.originUrl(path)), { ...init, body: body(framing) });
    seen.push([response.status, await response.text()]);
  }
  expect(seen).toEqual(Array.from({ length: 16 }, () => [status, text]));
});
