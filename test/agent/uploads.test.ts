/** What a gateway tells of an upload to whoever sends it. */
import { EventEmitter, once } from "node:events";
import {
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from "node:http";
import { text as readAll } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Uploads } from "../../src/agent/traffic/clients/uploads.ts";
import type { Identity } from "../../src/core/identity.ts";
import { ok, refuse } from "../../src/core/outcome.ts";
import { Flow } from "../../src/process/flow.ts";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startByteOrigin,
  startOrigin,
  startRig,
} from "./gateway-rig.ts";
import { CERTIFICATE, startSecureOrigin } from "./tls-origin.ts";

let rig: Rig;
let origin: Origin;
/** Fields that the origin got. */
let seen: Record<string, unknown> = {};
const open: ClientRequest[] = [];

beforeAll(async () => {
  rig = await startRig({
    egressIp: "127.0.0.29",
    leases: [{ base: 20_480, order: 6, epoch: 1 }],
    authorities: [CERTIFICATE],
    records: { "one.late.test": ["127.0.0.1"], "two.late.test": ["127.0.0.1"] },
    dnsTimeoutMs: 2_000,
  });
  origin = await startOrigin((request, response) => {
    seen = request.headers;
    let byteCount = 0;
    request.on("data", (chunk: Buffer) => {
      byteCount += chunk.length;
    });
    request.on("end", () => response.end(String(byteCount)));
  });
});
afterAll(async () => {
  origin.close();
  await rig.close();
});
afterEach(async () => {
  for (const each of open.splice(0)) each.destroy();
  await eventually(() => rig.gateway.runningCount === 0, "every request over");
  expect(rig.faults).toEqual([]);
});

let count = 0;
function newName(): string {
  count += 1;
  return `upload-of-these-tests-${count}`;
}

async function ask(name: string, init: RequestInit = {}, token = rig.token): Promise<Response> {
  const headers = { "egress-authorization": `Bearer ${token}`, ...(init.headers as object) };
  return fetch(`${rig.url}/v1/uploads/${name}`, { ...init, headers });
}

async function uploadStatusOf(name: string): Promise<string | null> {
  const response = await ask(name);
  expect(response.status).toBe(204);
  return response.headers.get("egress-upload");
}

/** Asks, and goes on when the question has come to the gateway. */
async function askBefore(name: string): Promise<{ uploadStatus: Promise<string | null> }> {
  const come = once(rig.gateway.server, "request");
  const uploadStatus = uploadStatusOf(name);
  await come;
  return { uploadStatus };
}

/** An upload whose body is sent by hand. */
function sendUpload(name: string, url: string, fields: Readonly<Record<string, string>> = {}) {
  const sent = httpRequest(`${rig.url}/v1/fetch?url=${encodeURIComponent(url)}`, {
    method: "POST",
    headers: { "egress-authorization": `Bearer ${rig.token}`, "egress-upload": name, ...fields },
  });
  open.push(sent);
  sent.on("error", () => {});
  const answered = (async () => {
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return { status: response.statusCode!, text: await readAll(response) };
  })();
  answered.catch(() => {});
  sent.flushHeaders();
  return { sent, answered };
}

describe("an upload", () => {
  it.each<[string, string, Readonly<Record<string, string>>]>([
    ["chunked", "one", {}],
    ["of a declared length", "two", { "content-length": "100000" }],
  ])(
    "[GW24] %s is ready when the destination's connection stands, and not before",
    async (_what, host, fields) => {
      const name = newName();
      let isConnected = false;
      origin.server.once("connection", () => {
        isConnected = true;
      });
      const { sent, answered } = sendUpload(name, `http://${host}.late.test:${origin.port}/`, fields);
      expect(await uploadStatusOf(name)).toEqual("ready");
      expect(isConnected).toBe(true);
      // Of what it has not got yet the destination need know nothing.
      sent.end(Buffer.alloc(100_000));
      expect(await answered).toEqual({ status: 200, text: "100000" });
      expect(Object.keys(seen).filter((field) => field.startsWith("egress"))).toEqual([]);
    },
  );

  it("[GW24] is told of to whoever asks before it comes, and to whoever asks late", async () => {
    const name = newName();
    const { uploadStatus } = await askBefore(name);
    const { sent, answered } = sendUpload(name, origin.url);
    expect(await uploadStatus).toEqual("ready");
    expect(await uploadStatusOf(name)).toEqual("ready");
    sent.end("x");
    expect((await answered).status).toBe(200);
  });

  it("[GW24] over HTTP/2 is ready when the origin has said how it wants to be spoken to", async () => {
    const secure = await startSecureOrigin("h2", (request, response) => {
      request.resume();
      request.on("end", () => response.end("taken"));
    });
    const name = newName();
    const { sent, answered } = sendUpload(name, secure.url);
    expect(await uploadStatusOf(name)).toEqual("ready");
    sent.end(Buffer.alloc(100_000));
    expect(await answered).toEqual({ status: 200, text: "taken" });
    secure.close();
  });

  it("[GW24] is told `100 Continue` at the same time, if it asks for that", async () => {
    const name = newName();
    const { sent, answered } = sendUpload(name, origin.url, { expect: "100-continue" });
    await Promise.all([once(sent, "continue"), uploadStatusOf(name)]);
    sent.end("x");
    expect((await answered).status).toBe(200);
  });

  it.each<[string, string, number]>([
    ["the destination refuses the connection", "http://127.0.0.1:1/", 502],
    ["the destination is prohibited", "http://10.0.0.1/", 403],
    ["the name does not resolve", "http://nowhere.late.test/", 502],
  ])("[GW24] has ended without being ready when %s", async (_what, url, status) => {
    const name = newName();
    const { uploadStatus } = await askBefore(name);
    const { answered } = sendUpload(name, url);
    expect(await uploadStatus).toEqual("ended");
    expect((await answered).status).toBe(status);
  });

  it("[GW24] has ended without being ready on a host that drains, or has no port left", async () => {
    rig.admission.isDraining = true;
    const drained = newName();
    const before = await askBefore(drained);
    const refused = sendUpload(drained, origin.url);
    expect(await before.uploadStatus).toEqual("ended");
    expect((await refused.answered).status).toBe(503);
    rig.admission.isDraining = false;

    const silent = await startByteOrigin(() => {});
    for (let port = 0; port < 64; port += 1) sendUpload(newName(), silent.url);
    await eventually(() => rig.ports.capacity().busiestCount === 64, "all ports held");
    const full = newName();
    const { uploadStatus } = await askBefore(full);
    const { answered } = sendUpload(full, silent.url);
    expect(await uploadStatus).toEqual("ended");
    expect(JSON.parse((await answered).text)).toMatchObject({ code: "port-block-exhausted" });
    silent.close();
  });

  it("[GW24] has ended when its client goes away before it is ready", async () => {
    const name = newName();
    const { uploadStatus } = await askBefore(name);
    const { sent } = sendUpload(name, "http://nobody.silent.test/");
    await eventually(() => rig.gateway.runningCount === 1, "it has come");
    sent.destroy();
    expect(await uploadStatus).toEqual("ended");
  });

  it("[GW24] is told of to nobody else", async () => {
    const stranger = await rig.tokenFor("gateway", ["main", "other"]);
    expect(stranger).not.toBe(rig.token);
    const name = newName();
    const { sent, answered } = sendUpload(name, origin.url);
    expect(await uploadStatusOf(name)).toEqual("ready");
    // The same client by another token of its own is nobody else.
    expect((await ask(name, {}, stranger)).headers.get("egress-upload")).toBe("ready");
    const others = new Uploads();
    const [one, two] = [identity("one"), identity("two")];
    const running = stubResponse();
    others.announce(name, ok(one), running)!.ready();
    expect(told(others, name, one)).toEqual(["ready"]);
    expect(told(others, name, two)).toEqual([]);
    sent.end("x");
    await answered;
  });

  it("[GW24] [GW3] without a name is as it was", async () => {
    const reply = await rig.fetch(origin.url, { method: "POST", body: "x".repeat(100_000) });
    expect(await reply.text()).toBe("100000");
  });
});

describe("what is wrong with a question", () => {
  it("[GW24] [GW1] is told by name", async () => {
    const codes: Record<string, unknown> = {};
    const note = async (what: string, reply: Response): Promise<void> => {
      codes[what] = [reply.status, ((await reply.json()) as { code: string }).code];
    };
    await note("no token", await fetch(`${rig.url}/v1/uploads/${newName()}`));
    await note("a client's token", await ask(newName(), {}, await rig.tokenFor("client")));
    await note("another pool", await ask(newName(), {}, await rig.tokenFor("gateway", ["other"])));
    await note("a short name", await ask("short"));
    await note("a bad name", await ask("with.dots.and.such.things"));
    await note("another method", await ask(newName(), { method: "POST" }));
    expect(codes).toEqual({
      "no token": [401, "token-missing"],
      "a client's token": [403, "role-denied"],
      "another pool": [403, "pool-denied"],
      "a short name": [404, "route-unknown"],
      "a bad name": [404, "route-unknown"],
      "another method": [405, "method-unsupported"],
    });
  });

  it("[GW24] [GW10] so is a bad name of an upload, or two of them", async () => {
    for (const fields of [
      ["egress-upload: short"],
      [`egress-upload: ${newName()}`, `egress-upload: ${newName()}`],
    ]) {
      const head = fetchHead(rig, "GET", origin.url, ...fields, "connection: close");
      const answer = await exchangeBytes(rig.port, head);
      expect(answer).toContain("400 Bad Request");
      expect(answer).toContain("request-malformed");
    }
  });
});

/** As much of a response as uploads know of. */
function stubResponse(): ServerResponse & { said: string[] } {
  const said: string[] = [];
  const made = new EventEmitter() as unknown as ServerResponse & { said: string[]; headersSent: boolean };
  return Object.assign(made, {
    said,
    destroyed: false,
    headersSent: false,
    writeHead: (_status: number, headers: Record<string, string>) => {
      made.headersSent = true;
      said.push(headers["egress-upload"]!);
      return made;
    },
    end: () => made,
  });
}

function identity(subject: string): Identity {
  return { role: "gateway", subject, pools: ["main"], expiresAtMs: Infinity };
}

const flow = new Flow((fault) => {
  throw fault;
});

/** What is said at once to somebody who then goes away. */
function told(uploads: Uploads, name: string, asker: Identity): string[] {
  const asking = stubResponse();
  uploads.answer(name, asker, asking, flow);
  asking.emit("close");
  return asking.said;
}

describe("what is kept of uploads", () => {
  const somebody = identity("somebody");

  it("[GW24] is gone with the request", () => {
    const kept = new Uploads();
    const name = newName();
    const first = stubResponse();
    expect(kept.announce(name, ok(somebody), first)).not.toBeNull();
    expect(kept.announce(name, ok(somebody), stubResponse())).toBeNull();
    first.emit("close");
    expect(told(kept, name, somebody)).toEqual([]);
    expect(kept.announce(name, ok(somebody), stubResponse())).not.toBeNull();
  });

  it("[GW24] is nothing without a name, without leave, or of a client that is gone", () => {
    const kept = new Uploads();
    const gone = Object.assign(stubResponse(), { destroyed: true });
    expect(kept.announce(null, ok(somebody), stubResponse())).toBeNull();
    expect(kept.announce(newName(), refuse({ code: "token-expired" }), stubResponse())).toBeNull();
    expect(kept.announce(newName(), ok(somebody), gone)).toBeNull();
  });

  it("[GW24] is bounded where uploads are asked for that do not come", () => {
    const kept = new Uploads();
    const asking = Array.from({ length: 1_024 }, () => {
      const one = stubResponse();
      kept.answer(newName(), somebody, one, flow);
      return one;
    });
    expect(told(kept, newName(), somebody)).toEqual(["unknown"]);
    expect(asking.flatMap(({ said }) => said)).toEqual([]);
    asking[7]!.emit("close");
    expect(told(kept, newName(), somebody)).toEqual([]);
    for (const one of asking) one.emit("close");
  });

  it("[GW24] is told to all who ask, and to none twice", () => {
    const kept = new Uploads();
    const name = newName();
    const asking = [stubResponse(), stubResponse(), stubResponse()];
    kept.answer(name, somebody, asking[0]!, flow);
    const running = stubResponse();
    const upload = kept.announce(name, ok(somebody), running)!;
    kept.answer(name, somebody, asking[1]!, flow);
    kept.answer(name, somebody, asking[2]!, flow);
    asking[2]!.emit("close");
    upload.ready();
    running.emit("close");
    expect(asking.map(({ said }) => said)).toEqual([["ready"], ["ready"], []]);
    for (const one of asking) one.emit("close");
  });
});
