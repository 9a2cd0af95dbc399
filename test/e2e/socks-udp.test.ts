/** UDP through SOCKS5, by clients that others wrote: PySocks, and dnspython over it. */
import { execFile } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { blockContains } from "../../src/core/port-block.ts";
import { PYTHON } from "./client-programs.ts";
import { Cluster, EGRESS_IP, freePort, until } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

const run = promisify(execFile);

let cluster: Cluster;
let names: Awaited<ReturnType<typeof startNameServer>>;
let proxyPort: number;
/** Says to whoever writes from where that came. */
const echoes: Socket[] = [];

beforeAll(async () => {
  names = await startNameServer({ "a.test": ["192.0.2.7"], "echo.test": ["127.0.0.20"] });
  for (const ip of ["127.0.0.20", "127.0.0.21"]) {
    const echo = createSocket("udp4");
    echo.on("message", (text, { address, port }) => {
      echo.send(`${address} ${port} ${text.toString("latin1")}`, port, address);
    });
    await new Promise<void>((resolve) => {
      echo.bind(0, ip, resolve);
    });
    echoes.push(echo);
  }
  proxyPort = await freePort();
  // Each association is of one of two data processes, and its port of the part that this one has.
  const agentArgs = [
    `--dns=${names.address}`,
    "--allow=127.0.0.1/32",
    `--proxy=127.0.0.1:${proxyPort}`,
    "--processes=2",
  ];
  cluster = await Cluster.start({ hosts: ["h1"], agentArgs });
});
afterAll(async () => {
  for (const echo of echoes) echo.close();
  await cluster?.stop();
  names?.close();
});

async function python(script: string, ...args: readonly string[]): Promise<unknown> {
  const { stdout } = await run(PYTHON, [join(import.meta.dirname, script), ...args]);
  return JSON.parse(stdout);
}

test("dnspython asks a name server from the shared address", async () => {
  const [server, port] = names.address.split(":") as [string, string];
  const args = [`${proxyPort}`, server, port, "a.test", "none.test", "echo.test"];
  expect(await python("socks-dns.py", ...args)).toEqual({
    "a.test": ["192.0.2.7"],
    "none.test": "NXDOMAIN",
    "echo.test": ["127.0.0.20"],
  });
});

test("PySocks has a leased port for each association, the same one towards all, and each gets its own answers", async () => {
  const places = echoes.map((echo) => [echo.address().address, echo.address().port] as const);
  const byName = ["echo.test", places[0]![1]] as const;
  const asked = {
    proxy: ["127.0.0.1", proxyPort],
    associations: 20,
    destinations: [...places, byName],
    rounds: 3,
    payload_bytes: 1_200,
  };
  const answers = (await python("socks-datagrams.py", JSON.stringify(asked))) as [string, number, string][][];
  expect(answers).toHaveLength(20);
  const blocks = await cluster.blocksOf("h1");
  const ports = new Set<number>();
  for (const ofOne of answers) {
    expect(ofOne.map((answer) => answer.slice(0, 2))).toEqual(
      Array.from({ length: 3 }, () => [places[0], places[1], places[0]]).flat(),
    );
    const sources = new Set(ofOne.map(([, , text]) => text.split(" ").slice(0, 2).join(" ")));
    expect(sources.size).toBe(1);
    const [ip, port] = [...sources][0]!.split(" ");
    expect([ip, blocks.some((block) => blockContains(block, Number(port)))]).toEqual([EGRESS_IP, true]);
    ports.add(Number(port));
  }
  expect(ports.size).toBe(20);
  await until("every port is given back", async () => {
    const status = (await cluster.status("h1")) as unknown as StatusWithUdp;
    return status.udp.associations === 0 && status.addresses.every(({ flowCount }) => flowCount === 0);
  });
});

interface StatusWithUdp {
  readonly addresses: readonly { readonly flowCount: number }[];
  readonly udp: { readonly associations: number; readonly drops: Readonly<Record<string, number>> };
}

test("an agent that drains lets an association go on until it ends, and takes no other", async () => {
  const agent = cluster.pidOf("h1");
  const long = python(
    "socks-datagrams.py",
    JSON.stringify({
      proxy: ["127.0.0.1", proxyPort],
      associations: 1,
      // Nobody listens there: it asks five times, and tells the end after that.
      destinations: [["127.0.0.20", await freePort()]],
      rounds: 1,
      payload_bytes: 0,
    }),
  );
  await until("it has begun", async () => {
    const status = (await cluster.status("h1")) as unknown as StatusWithUdp;
    return status.udp.associations === 1;
  });
  process.kill(agent, "SIGTERM");
  const args = [`${proxyPort}`, "127.0.0.20", "9", "a.test"];
  await until("others are refused", () =>
    python("socks-dns.py", ...args).then(
      () => false,
      (fault: { stderr?: string }) => fault.stderr?.includes("General SOCKS server failure") === true,
    ),
  );
  expect(await long).toEqual([[null]]);
  expect(await cluster.hosts.get("h1")!.running!.exited).toBe(0);
});
