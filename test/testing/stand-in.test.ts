/** The stand-in from its sources, as a server of Node's: the contract, and what only a stand-in can do. */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { createEgress, EgressError, egressOf } from "../../src/sdk/egress.ts";
import { openWebSocket } from "../../src/sdk/node/open-websocket.ts";
import { egressControl, TROUBLE } from "../../src/testing/edge/control.ts";
import { type EgressServer, startEgress } from "../../src/testing/node/egress-server.ts";
import { holdToContract } from "./egress-contract.ts";
import { standInSubject } from "./stand-in-subject.ts";

const started: EgressServer[] = [];
afterAll(() => Promise.all(started.map((one) => one.stop())));

async function start(options: Parameters<typeof startEgress>[0] = {}): Promise<EgressServer> {
  const server = await startEgress(options);
  started.push(server);
  return server;
}

describe("[TE1] the contract", () => {
  holdToContract(async () => {
    const server = await start();
    return standInSubject(server, server.url, server.token);
  });
});

describe("what it is told", () => {
  let server: EgressServer;
  let egress: ReturnType<typeof createEgress>;
  beforeEach(async () => {
    server = await start({ answers: { "http://api.test/*": { body: "from the beginning" } } });
    egress = createEgress({ endpoint: server.url, token: server.token, openWebSocket });
  });

  const textOf = async (url: string): Promise<string> => {
    const answer = await egress.fetch(url).catch((fault: unknown) => fault);
    return answer instanceof EgressError ? answer.code : (answer as Response).text();
  };

  test("[TE3] the next answers come first, then what was said last, then what it began with", async () => {
    await server.answer("http://api.test/a*", { body: "a" });
    await server.answer("http://api.test/a/b", { body: "a/b" });
    await server.next(TROUBLE.exhausted, { body: "once" });
    const got = [];
    for (const path of ["a", "z", "z", "a", "a/b", "a/c"]) got.push(await textOf(`http://api.test/${path}`));
    expect(got).toEqual(["port-block-exhausted", "once", "from the beginning", "a", "a/b", "a"]);
    await server.answer("*", { refuse: "draining" });
    expect(await textOf("http://other.test/")).toBe("draining");
    await server.reset();
    expect(await textOf("http://api.test/a/b")).toBe("from the beginning");
    expect((await server.calls()).length).toBe(1);
  });

  test("[TE3] what nobody has told anything of says what it got", async () => {
    const response = await egress.fetch("http://other.test/x", {
      method: "POST",
      body: "b",
      headers: { a: "1" },
    });
    expect(await response.json()).toMatchObject({
      method: "POST",
      url: "http://other.test/x",
      body: "b",
      headers: { a: "1" },
    });
  });

  test("[TE3] a function may stand in the destination's place, and gets what that would get", async () => {
    const other = await start({
      destination: async (request) =>
        Response.json({
          url: request.url,
          mine: request.headers.get("x-mine"),
          own: request.headers.has("egress"),
          body: await request.text(),
        }),
    });
    const { fetch } = createEgress({ endpoint: other.url, token: other.token });
    const init = { method: "PUT", body: "text", headers: { "x-mine": "1" }, egress: { session: "s" } };
    expect(await (await fetch("https://api.test/", init)).json()).toEqual({
      url: "https://api.test/",
      mine: "1",
      own: false,
      body: "text",
    });
  });

  test("[TE3] it remembers each call, with its selection, its source and its refusal", async () => {
    const response = await egress.fetch("http://api.test/", { egress: { session: "cart" } });
    await response.text();
    await textOf("http://10.0.0.1/");
    expect(await server.calls()).toMatchObject([
      {
        method: "GET",
        url: "http://api.test/",
        selection: 'session="cart"',
        pool: "default",
        source: egressOf(response),
        refusal: null,
      },
      { url: "http://10.0.0.1/", refusal: "destination-prohibited" },
    ]);
  });

  test("[TE3] it is told by its URL as well, and says what it does not understand", async () => {
    const control = egressControl(server.url);
    await control.next(TROUBLE.leaseLost);
    expect(await textOf("http://api.test/")).toBe("lease-lost");
    expect(await control.calls()).toEqual(await server.calls());
    const nonsense = { refuse: "no-such-code" as "draining" };
    await expect(control.next(nonsense)).rejects.toThrow(/refuse cannot be "no-such-code"/);
    await expect(control.answer("*", { stauts: 200 } as object)).rejects.toThrow(/no "stauts"/);
    for (const told of [control, server]) {
      const broken = { headers: { "x-a": "1\r\nx-b: 2" } };
      await expect(told.next(broken)).rejects.toThrow(/headers cannot be/);
      await expect(told.next({ status: 101 })).rejects.toThrow(/status cannot be 101/);
    }
    await expect(startEgress({ answers: { "*": { status: 7 } } })).rejects.toThrow(
      /The answer of \*: status/,
    );
    await expect(egressControl("http://127.0.0.1:1").calls()).rejects.toThrow(TypeError);
  });

  test("[TE3] a page in a browser tells it nothing, and learns nothing of its calls", async () => {
    await textOf("http://api.test/secret");
    for (const field of [{ origin: "https://evil.test" }, { "sec-fetch-site": "cross-site" }]) {
      for (const command of [{ do: "calls" }, { do: "next", answers: [{ body: "owned" }] }]) {
        const init = { method: "POST", headers: { ...field }, body: JSON.stringify(command) };
        const answer = await fetch(`${server.url}/stand-in`, init);
        expect([answer.status, await answer.text()]).toEqual([401, expect.not.stringContaining("secret")]);
      }
    }
    expect(await textOf("http://api.test/")).toBe("from the beginning");
  });

  test("[TE2] each trouble is one call away", async () => {
    const codes = {
      exhausted: "port-block-exhausted",
      full: "connections-exhausted",
      leaseLost: "lease-lost",
      denied: "destination-denied",
      limited: "requests-limited",
      hostLost: "host-lost",
      timeout: "response-timeout",
    } as const;
    for (const [name, code] of Object.entries(codes)) {
      await server.next(TROUBLE[name as keyof typeof codes]);
      expect(await textOf("http://api.test/")).toBe(code);
    }
    await server.next(TROUBLE.cutOff);
    await expect(textOf("http://api.test/")).rejects.toBeInstanceOf(TypeError);
    const beganMs = performance.now();
    await server.next(TROUBLE.slow);
    expect(await textOf("http://api.test/")).toBe("");
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(1_900);
  });

  test("[TE5] a TCP connection is refused, says what it was told, or breaks off", async () => {
    const said = async (): Promise<string> => {
      const { readable, opened } = egress.connect("db.test:5432");
      await opened;
      return new Response(readable).text();
    };
    await server.next(TROUBLE.exhausted, { body: "220 ready" }, { body: "220 ready", cutAfterBytes: 3 });
    await expect(said()).rejects.toMatchObject({ code: "port-block-exhausted" });
    expect(await said()).toBe("220 ready");
    await expect(said()).rejects.toMatchObject({ code: "connection-terminated" });
    expect((await server.calls()).map(({ url }) => url)).toEqual(Array(3).fill("tcp://db.test:5432"));
    const socket = egress.connect("db.test:5432", { secureTransport: "starttls" });
    const secured = socket.startTls();
    await secured.opened;
    const writer = secured.writable.getWriter();
    await writer.write(new TextEncoder().encode("in secret"));
    await writer.close();
    expect(await new Response(secured.readable).text()).toBe("in secret");
  });

  test("[TE1] pools, addresses and tokens are as they were given", async () => {
    const other = await start({
      pools: {
        eu: [
          { ip: "192.0.2.9", country: "DE", site: "a" },
          { ip: "192.0.2.10", country: "FR" },
        ],
        us: [],
        ours: [{ ip: "192.0.2.11" }],
      },
      tokens: { "t-eu": ["eu", "us"], "t-all": ["*"] },
      allow: ["10.0.0.0/8"],
    });
    const asked = async (token: string, selection: object, url = "http://api.test/"): Promise<string> => {
      const { fetch } = createEgress({ endpoint: other.url, token });
      const answer = await fetch(url, { egress: selection }).catch((fault: unknown) => fault);
      if (!(answer instanceof Response)) return (answer as EgressError).code;
      await answer.text();
      return egressOf(answer)!.ip;
    };
    expect(await asked("t-eu", { country: "fr" })).toBe("192.0.2.10");
    expect(await asked("t-eu", { site: "a" }, "http://10.0.0.1/")).toBe("192.0.2.9");
    expect(await asked("t-eu", { pool: "us" })).toBe("pool-empty");
    expect(await asked("t-eu", { pool: "ours" })).toBe("pool-denied");
    expect(await asked("t-all", {})).toBe("pool-unknown");
    expect(await asked("t-all", { pool: "ours" })).toBe("192.0.2.11");
    expect(await asked("t-all", { pool: "nowhere" })).toBe("pool-unknown");
    expect(await asked("stand-in-token", {})).toBe("token-malformed");
  });
});
