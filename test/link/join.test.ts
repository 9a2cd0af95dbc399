/** A machine that joins, against an edge that does as it is told. */
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type JoinCheck, joinFirst } from "../../src/link/join-arguments.ts";
import { ensureJoined } from "../../src/link/join.ts";
import { TokenRenewal } from "../../src/link/token-renewal.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { newTokenId, signToken } from "../../src/wire/tokens.ts";

const DAY_MS = 86_400_000;

let directory: string;
let server: Server;
let edge: URL;
let answer: (path: string, body: { proof?: string }, response: ServerResponse) => void | Promise<void>;
let asked: { path: string; token: string; body: { proof?: string } }[];
const key = await generateKey("edge");

const made = (role: "host" | "join" | "router", livesMs: number, name = "h1"): Promise<string> =>
  signToken(
    { role, subject: name, pools: ["eu", "us"], tokenId: newTokenId(), expiresAtMs: Date.now() + livesMs },
    key,
  );

async function joined(response: ServerResponse, role: "host" | "router" = "host"): Promise<void> {
  const token = await made(role, 30 * DAY_MS);
  response.end(JSON.stringify({ token, role, name: "h1", pools: ["eu", "us"], endsAtMs: 0 }));
}

function refused(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(JSON.stringify({ code }));
}

async function joinFile(role: "host" | "join" = "join"): Promise<string> {
  const file = join(directory, "join");
  await writeFile(file, await made(role, 60_000));
  return file;
}

const options = async () => ({
  edge,
  joinFile: await joinFile(),
  stateDirectory: join(directory, "state"),
  role: "host" as const,
});

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = JSON.parse(await text(request)) as { proof?: string };
  asked.push({ path: request.url!, token: request.headers.authorization!.slice("Bearer ".length), body });
  await answer(request.url!, body, response);
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-join-"));
  asked = [];
  answer = (_path, _body, response) => joined(response);
  server = createServer((request, response) => void serve(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  edge = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

test("[TK12] a machine that joined keeps its token for itself, and joins no second time", async () => {
  const given = await options();
  const first = await ensureJoined(given);
  expect(first.pools).toEqual(["eu", "us"]);
  expect((await stat(first.tokenFile)).mode & 0o777).toBe(0o600);
  expect(await ensureJoined(given)).toEqual(first);
  await rm(given.joinFile);
  expect(await ensureJoined(given)).toEqual(first);
  expect(asked).toHaveLength(1);
  // Another join token is for another token.
  await ensureJoined({ ...given, joinFile: await joinFile() });
  expect(asked).toHaveLength(2);
});

test("[TK12] a lost answer is asked for again with the same proof, which was on disk before", async () => {
  const given = await options();
  let tries = 0;
  answer = async (_path, { proof }, response) => {
    tries += 1;
    expect(await readFile(join(given.stateDirectory, "join-proof"), "utf8")).toBe(proof);
    return tries < 3 ? void response.destroy() : joined(response);
  };
  await ensureJoined(given);
  expect(new Set(asked.map(({ body }) => body.proof)).size).toBe(1);
});

test("[TK12] a refusal ends it with what to do, and says nothing of the token", async () => {
  const given = await options();
  answer = (_path, _body, response) => refused(response, 401, "join-used");
  const fault = await ensureJoined(given).catch((thrown: unknown) => thrown as Error);
  expect(fault).toMatchObject({
    code: "join-failed",
    message: expect.stringContaining("token revoke --name"),
  });
  expect((fault as Error).message).not.toContain((await readFile(given.joinFile, "utf8")).slice(0, 20));
  expect(asked).toHaveLength(1);
});

test.each(["host", "join"] as const)(
  "[TK12] neither a token of the role %s nor one for a router will do",
  async (role) => {
    const given = { ...(await options()), joinFile: await joinFile(role) };
    answer = (_path, _body, response) => joined(response, "router");
    await expect(ensureJoined(given)).rejects.toMatchObject({ code: "join-failed" });
  },
);

test("[TK12] what the join makes known needs not be given, and what is given stays", async () => {
  const file = await joinFile();
  const given = ["--edge", edge.href, `--join=${file}`, "--state", join(directory, "state")];
  const { args, tokenFile } = await joinFirst(given, "host");
  expect(args).toEqual([...given, `--token-file=${tokenFile}`, "--pool=eu", "--listen=127.0.0.1:8443"]);
  const more = [...given, "--pool=us", "--listen=[::1]:1"];
  expect((await joinFirst(more, "host")).args).toEqual([...more, `--token-file=${tokenFile}`]);
  expect(await joinFirst(["--edge", edge.href], "host")).toEqual({
    args: ["--edge", edge.href],
    tokenFile: null,
  });
  await expect(joinFirst([...given, "--token-file=x"], "host")).rejects.toMatchObject({
    code: "option-invalid",
  });
});

test("[CF3] [TK12] a check foresees a join without asking anybody, and says when there is nothing to join by", async () => {
  const state = join(directory, "unjoined");
  const foresee = (file: string, check: Partial<JoinCheck> = {}, role: "host" | "router" = "host") =>
    joinFirst(["--edge", edge.href, `--join=${file}`, "--state", state], role, {
      isCheck: true,
      areFilesElsewhere: false,
      ...check,
    });
  const added = async (...given: Parameters<typeof foresee>) => (await foresee(...given)).args.slice(5);
  const own = `--token-file=${join(state, "token")}`;
  expect(await added(await joinFile())).toEqual([own, "--pool=eu", "--listen=127.0.0.1:8443"]);
  expect(await added(await joinFile(), {}, "router")).toEqual([own, "--pool=eu"]);
  // It comes by standard input, or is on another machine: of what pool it is, nobody can say.
  expect(await added("-")).toEqual([own, "--pool=unknown", "--listen=127.0.0.1:8443"]);
  expect(await added(join(directory, "gone"), { areFilesElsewhere: true })).toContain("--pool=unknown");
  await expect(foresee(join(directory, "gone"))).rejects.toMatchObject({
    code: "join-failed",
    message: `--join ${join(directory, "gone")} holds nothing, and this machine has no token by an earlier join in ${state}.`,
  });
  await expect(foresee(await joinFile("host"))).rejects.toThrow("holds no join token");
  // The token of an earlier join does, without a join token.
  await mkdir(state);
  await writeFile(join(state, "token"), await made("host", DAY_MS));
  expect(await added(join(directory, "gone"))).toContain(own);
  expect(asked).toEqual([]);
});

test("[TK10] a token is replaced when a third of its life is over, and not before", async () => {
  const tokenFile = join(directory, "token");
  const log = pino({ level: "silent" });
  const old = await made("host", 30 * DAY_MS);
  await writeFile(tokenFile, old);
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + 9 * DAY_MS);
  const renewal = new TokenRenewal({ edge, tokenFile, log, lookMs: 20 });
  renewal.start();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(asked).toEqual([]);
  vi.setSystemTime(Date.now() + 2 * DAY_MS);
  await vi.waitFor(async () => expect(await readFile(tokenFile, "utf8")).not.toBe(old));
  renewal.stop();
  vi.useRealTimers();
  expect(asked).toMatchObject([{ path: "/v1/renewals", token: old }]);
});

test("[TK10] a token that is not replaced stays, and is tried again", async () => {
  const tokenFile = join(directory, "token");
  const old = await made("host", -1_000);
  await writeFile(tokenFile, old);
  answer = (_path, _body, response) => refused(response, 401, "token-revoked");
  const renewal = new TokenRenewal({ edge, tokenFile, log: pino({ level: "silent" }), lookMs: 10 });
  renewal.start();
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(2));
  renewal.stop();
  expect(await readFile(tokenFile, "utf8")).toBe(old);
});
