/** Bodies that end with a TLS connection: whole by the origin's word alone. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { TLSSocket, type SecureVersion } from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
import { exchangeBytes, eventually, fetchHead, type Rig, startByteOrigin, startRig } from "./gateway-rig.ts";
import { CERTIFICATE, KEY } from "./tls-origin.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ egressIp: "127.0.0.25", authorities: [CERTIFICATE] });
});
afterAll(() => rig.close());

/** An origin whose every connection is TLS over `transport`, which it can end by itself. */
async function secureOrigin(
  version: SecureVersion,
  answer: (secured: TLSSocket, transport: Socket) => void,
): Promise<{ url: string; close: () => void }> {
  const server = createServer((transport) => {
    transport.on("error", () => transport.destroy());
    const options = { isServer: true, key: KEY, cert: CERTIFICATE, minVersion: version, maxVersion: version };
    const secured = new TLSSocket(transport, options);
    secured.on("error", () => transport.destroy());
    secured.once("data", () => answer(secured, transport));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${port}`, close: () => server.close() };
}

/** Ends the connection under TLS as anybody on the way could. */
function cut(transport: Socket): void {
  const { _handle: handle } = transport as unknown as { _handle: { close: () => void } };
  handle.close();
}

const HEAD = "HTTP/1.1 200 OK\r\n\r\n";
const LARGE = "x".repeat(300_000);

it.each(["TLSv1.2", "TLSv1.3"] as const)(
  "[OR27] over %s close_notify is the end of a body",
  async (version) => {
    for (const body of ["all", LARGE]) {
      const origin = await secureOrigin(version, (secured) => secured.end(HEAD + body));
      for (let round = 0; round < 8; round += 1) {
        const response = await rig.fetch(origin.url);
        expect(response.status).toBe(200);
        expect(await response.text()).toBe(body);
      }
      origin.close();
    }
  },
);

it.each(["TLSv1.2", "TLSv1.3"] as const)("[OR27] over %s a FIN without it is none", async (version) => {
  for (const body of ["half", LARGE]) {
    const origin = await secureOrigin(version, (secured, transport) => {
      secured.write(HEAD + body, () => cut(transport));
    });
    for (let round = 0; round < 8; round += 1) {
      const response = await rig.fetch(origin.url);
      expect(response.status).toBe(200);
      await expect(response.text()).rejects.toThrow("terminated");
    }
    origin.close();
  }
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
});

it("[OR27] a length says what is whole without it", async () => {
  const origin = await secureOrigin("TLSv1.3", (secured, transport) => {
    secured.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall", () => cut(transport));
  });
  expect(await (await rig.fetch(origin.url)).text()).toBe("all");
  origin.close();
});

it("[OR27] a client that reads late gets the whole of what ended in order", async () => {
  const origin = await secureOrigin("TLSv1.3", (secured) => secured.end(HEAD + LARGE.repeat(20)));
  const response = await rig.fetch(origin.url);
  await new Promise((resolve) => {
    setTimeout(resolve, 300);
  });
  expect((await response.text()).length).toBe(LARGE.length * 20);
  const raw = await exchangeBytes(rig.port, fetchHead(rig, "GET", origin.url, "connection: close"));
  expect(raw.endsWith("\r\n0\r\n\r\n")).toBe(true);
  origin.close();
});

const HANDSHAKE = [
  "connection: Upgrade",
  "upgrade: websocket",
  "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-version: 13",
];
const DECLINE = "HTTP/1.1 403 No\r\n\r\n";

/** What a client gets whose handshake is declined. */
const declined = (url: string): Promise<string> =>
  exchangeBytes(rig.port, fetchHead(rig, "GET", url, ...HANDSHAKE));

it.each([0, 30])(
  "[OR31] a declined handshake is whole by close_notify, and by no FIN alone, %d ms later",
  async (laterMs) => {
    for (const body of ["half", LARGE]) {
      const whole = await secureOrigin("TLSv1.3", (secured) => {
        secured.write(DECLINE + body);
        setTimeout(() => secured.end(), laterMs);
      });
      const answer = await declined(whole.url);
      expect(answer).toMatch(/^HTTP\/1.1 403 /);
      expect(answer.endsWith("\r\n0\r\n\r\n")).toBe(true);
      whole.close();
      const half = await secureOrigin("TLSv1.3", (secured, transport) => {
        secured.write(DECLINE + body, () => setTimeout(() => cut(transport), laterMs));
      });
      const broken = await declined(half.url);
      if (broken.startsWith("HTTP/1.1 403 ")) expect(broken.endsWith("\r\n0\r\n\r\n")).toBe(false);
      else expect(broken).toContain('"code":"connection-terminated"');
      half.close();
    }
    await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  },
);

it("[OR31] a declined handshake whose connection is reset within the body breaks off", async () => {
  for (const laterMs of [0, 30]) {
    const origin = await startByteOrigin((socket) => {
      socket.once("data", () => {
        socket.write(`${DECLINE}half`, () => setTimeout(() => socket.resetAndDestroy(), laterMs));
      });
    });
    const answer = await declined(origin.url);
    if (answer.startsWith("HTTP/1.1 403 ")) expect(answer.endsWith("\r\n0\r\n\r\n")).toBe(false);
    else expect(answer).toContain('"code":"connection-terminated"');
    origin.close();
  }
});

it.each(["HTTP/2.0 403 No", "HTTP/1.1 600 No", "HTTP/1.1 999 No"])(
  "[OR31] a handshake answered with %s is refused by name",
  async (statusLine) => {
    const origin = await startByteOrigin((socket) => {
      socket.once("data", () => socket.end(`${statusLine}\r\nContent-Length: 2\r\n\r\nno`));
    });
    expect(await declined(origin.url)).toContain('"code":"response-malformed"');
    origin.close();
  },
);

it("[OR10] a dot at the end of a name is not in the TLS of a WebSocket either", async () => {
  const named = await startRig({
    egressIp: "127.0.0.26",
    authorities: [CERTIFICATE],
    records: { "secure.test": ["127.0.0.1"] },
  });
  const names: (string | false | undefined)[] = [];
  const origin = await secureOrigin("TLSv1.3", (secured) => {
    names.push((secured as TLSSocket & { servername?: string | false }).servername);
    secured.end("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
  });
  const url = origin.url.replace("127.0.0.1", "secure.test.");
  const answer = await exchangeBytes(named.port, fetchHead(named, "GET", url, ...HANDSHAKE));
  expect(answer).toMatch(/^HTTP\/1.1 403 /);
  expect(names).toEqual(["secure.test"]);
  origin.close();
  await named.close();
});
