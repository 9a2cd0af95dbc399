/** The link against a real WebSocket server on loopback. */
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { EdgeLink, type LinkTiming } from "../../src/link/edge-link.ts";
import type { PoolReply } from "../../src/core/messages.ts";
import { parsePoolReply } from "../../src/wire/message-parsers.ts";
import { LoopbackEdge, recordingLog, until } from "./loopback-edge.ts";

const QUICK: LinkTiming = {
  heartbeatMs: 10,
  silenceMs: 100,
  handshakeMs: 1_000,
  proofMs: 60_000,
  firstRetryMs: 5,
  longestRetryMs: 40,
  tokenLookMs: 10,
};

let edge: LoopbackEdge;

beforeEach(async () => {
  edge = await LoopbackEdge.start();
});

afterEach(async () => {
  await edge.stop();
});

function linkTo(timing: Partial<LinkTiming> = QUICK, token = async () => "the-token") {
  const calls: string[] = [];
  const messages: PoolReply[] = [];
  const refusals: string[] = [];
  const { log, lines } = recordingLog();
  const link = new EdgeLink<PoolReply>({
    name: "pool default",
    url: new URL("/v1/pools/default/connect", edge.url),
    token,
    parse: parsePoolReply,
    onOpen: () => calls.push("open"),
    onClose: () => calls.push("close"),
    onRefused: (code) => refusals.push(code),
    onMessage: (message) => messages.push(message),
    log,
    timing: { ...QUICK, ...timing },
  });
  onTestFinished(() => link.stop());
  link.start();
  return { link, calls, messages, lines, refusals };
}

describe("when there is another token", () => {
  test("[EL5] a connection by it stands before the former one is left", async () => {
    edge.ips = ["127.0.0.10"];
    let token = "the-token";
    const { link, calls, messages } = linkTo({}, async () => token);
    await until("the link is open", () => link.isOpen);
    token = "another-token";
    await until("there is another connection", () => calls.length === 3);
    expect(calls).toEqual(["open", "close", "open"]);
    expect(edge.connections.map(({ authorization }) => authorization)).toEqual([
      "Bearer the-token",
      "Bearer another-token",
    ]);
    // The former one is there until the edge ends it, and nothing is said on it any more.
    expect(edge.connections[0]!.socket.readyState).toBe(WebSocket.OPEN);
    link.send({ type: "enlist", version: 1, instance: "12345678", gateway: "http://127.0.0.1:1" });
    await until("the pool has answered", () => messages.length === 1);
    expect(edge.connections[0]!.received.filter((text) => text !== "ping")).toEqual([]);
    edge.connections[0]!.socket.close(4001, "fenced");
    await until("the edge has ended it", () => edge.connections[0]!.socket.readyState === WebSocket.CLOSED);
    expect([link.isOpen, calls]).toEqual([true, ["open", "close", "open"]]);
  });

  test("[EL5] one that the edge does not take leaves the connection as it is", async () => {
    let token = "the-token";
    const { link, calls, refusals, lines } = linkTo({}, async () => {
      if (token === "") throw new Error("there is none");
      return token;
    });
    await until("the link is open", () => link.isOpen);
    token = "";
    await until("it was looked at", after(50));
    edge.refusal = { code: "token-expired" };
    const upgradeCount = edge.upgradeCount;
    token = "another-token";
    await until("it was tried more than once", () => edge.upgradeCount > upgradeCount + 1);
    expect([link.isOpen, calls, refusals]).toEqual([true, ["open"], []]);
    expect(lines.filter((line) => JSON.stringify(line).includes("no connection by it"))).toHaveLength(1);
    edge.refusal = null;
    await until("it is taken", () => calls.length === 3);
  });
});

describe("while all is well", () => {
  test("[EL1] it shows the token, carries messages both ways, and beats its heart", async () => {
    edge.ips = ["127.0.0.10"];
    const { link, messages, calls } = linkTo();
    await until("the link is open", () => link.isOpen);
    link.send({ type: "enlist", version: 1, instance: "12345678", gateway: "http://127.0.0.1:1" });
    await until("the pool has answered", () => messages.length === 1);
    expect(messages[0]).toEqual({ type: "enlisted", pool: "default", ips: ["127.0.0.10"] });
    const [connection] = edge.connections;
    expect(connection!.authorization).toBe("Bearer the-token");
    await until("some heartbeats", () => connection!.received.filter((text) => text === "ping").length > 20);
    expect(edge.connections.length).toBe(1);
    expect(calls).toEqual(["open"]);
  });

  test("[EL1] it beats as often as it is told, on this connection and on the next", async () => {
    const { link } = linkTo({ heartbeatMs: 60_000 });
    const beats = (): number => edge.connections.at(-1)!.received.filter((text) => text === "ping").length;
    await until("the link is open", () => link.isOpen);
    link.beatEvery(60_000);
    await until("some time has passed", after(100));
    expect(beats()).toBe(0);
    link.beatEvery(10);
    await until("some heartbeats", () => beats() > 5);
    edge.dropAll();
    await until("it is open again", () => edge.connections.length === 2 && link.isOpen);
    await until("some heartbeats", () => beats() > 5);
    link.beatEvery(60_000);
    const count = beats();
    await until("some time has passed", after(100));
    expect(beats()).toBeLessThanOrEqual(count + 1);
  });

  test("[EL3] an edge that owes no word may be silent", async () => {
    const { link, calls } = linkTo({ heartbeatMs: 60_000 });
    await until("the link is open", () => link.isOpen);
    edge.isSilent = true;
    // Nobody answers a report.
    link.send({ type: "report", draining: false, rooms: [] });
    await until("the time for a word has passed twice", after(250));
    expect([calls, edge.upgradeCount]).toEqual([["open"], 1]);
  });

  test("[EL3] an edge that takes long to answer is not dead while it answers heartbeats", async () => {
    // The first beat comes at a random moment within that.
    const { link, calls } = linkTo({ heartbeatMs: 3_600_000 });
    await until("the link is open", () => link.isOpen);
    const beatCount = (): number => edge.connections[0]!.received.filter((text) => text === "ping").length;
    // The loopback edge answers no report.
    link.ask({ type: "report", draining: false, rooms: [] });
    await until("the time for a word has passed twice", after(250));
    expect(calls).toEqual(["open"]);
    // One, or more where its answer took long; and none since there was one.
    const count = beatCount();
    expect(count).toBeGreaterThan(0);
    await until("that time has passed again", after(250));
    expect([calls, beatCount()]).toEqual([["open"], count]);
  });

  test("[EL1] a stopped link closes its connection and makes no other", async () => {
    const { link, calls } = linkTo();
    await until("the link is open", () => link.isOpen);
    link.stop();
    await until("the edge sees it", () => edge.open().length === 0);
    expect(calls).toEqual(["open", "close"]);
    link.send({ type: "report", draining: false, rooms: [] });
    await edge.stop();
    await edge.restart();
    expect(edge.upgradeCount).toBe(1);
  });
});

describe("when the edge fails", () => {
  test("[EL2] a lost connection is made again, with the token as it is then", async () => {
    let count = 0;
    const { link, calls } = linkTo(QUICK, async () => `token-${(count += 1)}`);
    await until("the link is open", () => link.isOpen);
    edge.dropAll();
    await until("it is open again", () => calls.length === 3 && link.isOpen);
    expect(calls).toEqual(["open", "close", "open"]);
    expect(edge.connections.map(({ authorization }) => authorization)).toEqual([
      "Bearer token-1",
      "Bearer token-2",
    ]);
  });

  test("[EL2] an edge that is away is tried until it is back, and logged once", async () => {
    await edge.stop();
    const { link, lines } = linkTo();
    let attempts = 0;
    await until("time for many attempts has passed", () => (attempts += 1) > 40);
    await edge.restart();
    await until("the link is open", () => link.isOpen);
    link.confirm();
    const texts = lines.map(({ msg }) => msg);
    expect(texts.filter((text) => text.includes("Nothing listens")).length).toBe(1);
    expect(texts.at(-1)).toBe("pool default: connected again");
  });

  test("[EL2] a connection that is not confirmed makes the next wait longer", async () => {
    const { link } = linkTo({ firstRetryMs: 1, longestRetryMs: 100_000 });
    for (let round = 1; round <= 4; round += 1) {
      await until("the link is open", () => link.isOpen);
      link.confirm();
      edge.dropAll();
      await until("the edge was asked again", () => edge.upgradeCount > round);
    }
    edge.refusal = { code: "token-expired" };
    edge.dropAll();
    const before = edge.upgradeCount;
    await until("a second of retries", after(1_000));
    // Doubling from 2 ms fills a second with about ten tries; without it there were hundreds.
    expect(edge.upgradeCount - before).toBeLessThan(25);
  });

  test("[EL3] a silent edge is taken for dead", async () => {
    const { link, calls, lines } = linkTo();
    await until("the link is open", () => link.isOpen);
    edge.isSilent = true;
    await until("it gave up", () => calls.includes("close"));
    edge.isSilent = false;
    expect(lines.map(({ msg }) => msg)).toContain("pool default: The edge has fallen silent.");
    await until("it is open again", () => link.isOpen);
  });

  test("[EL3] an edge that does not answer a question is taken for dead, long before the next heartbeat", async () => {
    const { link, calls, lines } = linkTo({ heartbeatMs: 60_000 });
    await until("the link is open", () => link.isOpen);
    edge.isSilent = true;
    link.ask({ type: "renew", requestId: "r-1" });
    await until("it gave up", () => calls.includes("close"));
    edge.isSilent = false;
    expect(lines.map(({ msg }) => msg)).toContain("pool default: The edge has fallen silent.");
    await until("it is open again", () => link.isOpen);
    link.stop();
    link.ask({ type: "renew", requestId: "r-2" });
    expect(edge.connections.at(-1)!.received).toEqual([]);
  });

  test("[EL3] an edge that answers heartbeats alone is given up, one that has answered is not", async () => {
    const { link, calls, lines } = linkTo({ proofMs: 300 });
    await until("the link is open", () => link.isOpen);
    await until("it gave up", () => calls.includes("close"));
    expect(lines.map(({ msg }) => msg)).toContain(
      "pool default: The edge took the connection and did not answer.",
    );
    await until("it is open again", () => link.isOpen);
    link.confirm();
    const { upgradeCount } = edge;
    await until("the time for a proof has passed twice", after(600));
    expect(edge.upgradeCount).toBe(upgradeCount);
  });

  test("[EL3] a message that cannot be read is counted and ends the connection", async () => {
    const { link, messages } = linkTo();
    for (const garbage of ["{", '{"type":"enlisted"}', "", Buffer.from([1, 2, 3])]) {
      const before = link.malformedCount;
      await until("the link is open", () => link.isOpen && edge.open().length === 1);
      edge.open()[0]!.socket.send(garbage);
      await until("it was counted", () => link.malformedCount === before + 1);
    }
    expect(messages).toEqual([]);
  });
});

describe("when the edge refuses", () => {
  test.each([
    ["token-expired", "The token has expired; put a new one into the token file, it is read again. (401"],
    ["pool-denied", "The token does not permit the pool; make one with --pool and its name. (403"],
    ["pool-unknown", "The edge has no such pool; create it, and it is joined then. (404"],
  ] as const)("[EL2] the reason is logged in words: %s", async (code, sentence) => {
    edge.refusal = { code };
    const { link, lines, refusals } = linkTo();
    await until("it was logged", () => lines.length > 0);
    expect(lines[0]!.msg).toContain(sentence);
    expect(refusals[0]).toBe(code);
    edge.refusal = null;
    await until("it is let in", () => link.isOpen);
  });

  test("[EL2] a token file that cannot be read is tried again", async () => {
    let isThere = false;
    const { link, lines } = linkTo(QUICK, async () => {
      if (!isThere) throw new Error("no such token");
      return "the-token";
    });
    await until("it was logged", () => lines.some(({ msg }) => msg.includes("no such token")));
    expect(edge.upgradeCount).toBe(0);
    isThere = true;
    await until("the link is open", () => link.isOpen);
  });
});

function after(ms: number): () => boolean {
  const endMs = performance.now() + ms;
  return () => performance.now() >= endMs;
}
