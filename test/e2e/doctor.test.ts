/** `ipshard doctor` against a host that works, and against what does not. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, EGRESS_IP, freePort, until } from "./cluster.ts";
import { testedProgram } from "../runner/tested-program.ts";

const CLI = testedProgram("cli");

let cluster: Cluster;
let tokenFile: string;

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
  tokenFile = join(cluster.directory, "client.token");
  await writeFile(tokenFile, await cluster.token("client", "doctor"));
});
afterAll(() => cluster?.stop());

function runDoctor(
  changes: Record<string, string> = {},
  more: readonly string[] = [],
): Promise<{ code: number; output: string }> {
  const options = {
    "--edge": cluster.edgeUrl,
    "--client-token-file": tokenFile,
    "--gateway": cluster.gatewayOf("h1"),
    "--to": cluster.originUrl("/seen"),
    ...changes,
  };
  return run([...Object.entries(options).map(([name, value]) => `${name}=${value}`), ...more]);
}

function run(args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, "doctor", ...args], (fault, stdout, stderr) => {
      resolve({ code: fault === null ? 0 : Number(fault.code), output: stdout + stderr });
    });
  });
}

test("[HS4] a host that works proves it with a round trip from its shared address", async () => {
  const { code, output } = await runDoctor();
  expect(output).toMatch(
    new RegExp(`^ok +A request left from ${EGRESS_IP} port \\d+ of h1, .* came back`, "m"),
  );
  expect(output).toMatch(
    new RegExp(
      `^ok +Through the edge at \\S+ a request left from ${EGRESS_IP} port \\d+ of this host, h1,`,
      "m",
    ),
  );
  expect(code).toBe(0);
});

test("[HS4] the name that the option for its token had is good still", async () => {
  const named = {
    "--edge": cluster.edgeUrl,
    "--gateway": cluster.gatewayOf("h1"),
    "--to": "http://10.0.0.1/",
  };
  const args = Object.entries(named).map(([name, value]) => `${name}=${value}`);
  const { output } = await run([...args, "--token-file", tokenFile]);
  expect(output).toContain("problem The round trip");
  expect((await run(args)).output).toContain("required option '--client-token-file <file>' not specified");
});

test("[HS4] for machines each finding is a line of JSON", async () => {
  const { code, output } = await runDoctor({}, ["--json"]);
  const findings = output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(code).toBe(0);
  expect(findings).toContainEqual({ severity: "good", sentence: expect.stringContaining("came back") });
});

test("[HS5] a host whose gateway the edge cannot reach, or takes another for, fails", async () => {
  const wrongGateways = {
    h2: "http://127.0.0.1:1",
    h3: cluster.gatewayOf("h1"),
  };
  for (const [host, gateway] of Object.entries(wrongGateways)) {
    await cluster.startHost(host, [`--gateway=${gateway}`]);
    await cluster.untilServing(["h1", host]);
    const { code, output } = await runDoctor({ "--gateway": cluster.gatewayOf(host) });
    expect(output).toMatch(new RegExp(`^ok +A request left from ${EGRESS_IP} port \\d+ of ${host}`, "m"));
    expect(output).toMatch(
      new RegExp(
        `^problem None of \\d+ requests from ${EGRESS_IP} through the edge at \\S+ left from this host, ${host}\\.`,
        "m",
      ),
    );
    expect(output).toContain(`The edge knows its gateway as ${gateway} (the agent's --gateway)`);
    expect(code).toBe(1);
    await cluster.stopHost(host, "SIGTERM");
    await cluster.untilServing(["h1"]);
  }
});

test("hosts whose --gateway ends in any way that means the same serve through the edge", async () => {
  const hosts = ["h4", "h5", "h6"];
  for (const [at, end] of ["", "/", "/?"].entries()) {
    const port = await freePort();
    cluster.hosts.set(hosts[at]!, { port, running: null, args: [] });
    await cluster.startHost(hosts[at]!, [`--gateway=http://127.0.0.1:${port}${end}`]);
  }
  await cluster.untilServing(["h1", ...hosts]);
  // Whoever else refuses by its name, the doctor goes on until this host has.
  const prohibited = await runDoctor({ "--to": "http://10.0.0.1/" });
  expect(prohibited.output).toContain("The edge does reach this host, which refused by itself");
  const [headers, url] = [await cluster.clientHeaders(), cluster.through(cluster.originUrl("/seen"))];
  const served = new Set<string | null>();
  await until("each host has served", async () => {
    const response = await fetch(url, { headers });
    expect(response.status).toBe(200);
    served.add(response.headers.get("egress-host"));
    return served.size === 1 + hosts.length;
  });
  await Promise.all(hosts.map((host) => cluster.stopHost(host, "SIGTERM")));
  await cluster.untilServing(["h1"]);
});

test("[CI1] asked about nothing it says what it can be asked about", async () => {
  const { code, output } = await run([]);
  expect(output).toMatch(
    /^ipshard doctor: Say what to examine: .* ipshard doctor router\. \[option-invalid\]$/m,
  );
  expect(code).toBe(1);
});

test("[CI1] a slip in an option is named, not the option that is then missing", async () => {
  const slip = await run(["--egde", "http://127.0.0.1:1"]);
  expect(slip.output).toContain("ipshard doctor: There is no option --egde; see ipshard doctor --help.");
  const word = await run(["routr"]);
  expect(word.output).toContain("ipshard doctor: There is no option routr; see ipshard doctor --help.");
  expect([slip.code, word.code]).toEqual([1, 1]);
});

test("[HS4] what fails is said in a sentence, with an exit status", async () => {
  const prohibited = await runDoctor({ "--to": "http://10.0.0.1/" });
  expect(prohibited.output).toContain("problem The round trip from 127.0.0.10 to http://10.0.0.1/ failed: ");
  expect(prohibited.output).toContain("or start the agents with --allow for that range.");
  // Its own refusal, carried by the edge, proves that the edge reaches it.
  expect(prohibited.output).toContain(
    "The edge does reach this host, which refused by itself: it is http://10.0.0.1/ that cannot be had from here.",
  );
  expect(prohibited.code).toBe(1);
  const edgeForGateway = await runDoctor({ "--gateway": cluster.edgeUrl });
  expect(edgeForGateway.output).toContain("Is --gateway this host's own gateway, and not the edge?");
  expect(edgeForGateway.code).toBe(1);
  const otherFamily = await runDoctor({ "--to": "http://[2001:db8::1]/" });
  expect(otherFamily.output).toContain("unknown http://[2001:db8::1]/ cannot be asked from 127.0.0.10");
  expect(otherFamily.code).toBe(2);
  const elsewhere = await runDoctor({ "--gateway": "http://127.0.0.1:1" });
  expect(elsewhere.output).toContain("problem The gateway at http://127.0.0.1:1 does not answer");
  expect(elsewhere.code).toBe(1);
  const noGateway = await runDoctor({ "--gateway": cluster.originUrl("/") });
  expect(noGateway.output).toMatch(/^problem What answers at \S+ is no gateway of ipshard \(\d+\)\.$/m);
  expect(noGateway.code).toBe(1);
  const noEdge = await runDoctor({ "--edge": "http://127.0.0.1:1" });
  expect(noEdge.output).toContain("problem The edge at http://127.0.0.1:1 cannot be reached");
  const noToken = await runDoctor({ "--token-file": "/nonexistent" });
  expect(noToken.output).toContain("[token-unreadable]");
  expect(noToken.code).toBe(1);
});
