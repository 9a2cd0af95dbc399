/** The router's command line, and the same options at its doctor. */
import { expect, test } from "vitest";
import { parseCommandLine } from "../../src/router/command-line.ts";
import { isOwnProgram, ownProgram } from "../../src/process/own-files.ts";
import { withPathsFrom } from "../../src/router/doctor/running-routers.ts";

const COMPLETE = {
  "--edge": "http://127.0.0.1:8787",
  "--pool": "eu",
  "--token-file": "r1.token",
  "--state": "/var/lib/ipshard-router",
  "--ingress": "eth0",
};

function parse(changes: Record<string, string | null>, ...rest: string[]) {
  const options = Object.entries({ ...COMPLETE, ...changes });
  const args = options.flatMap(([name, value]) => (value === null ? [] : [name, value]));
  return parseCommandLine([...args, ...rest], () => {});
}

test("[AG1] a complete command line is a router's configuration", () => {
  const via = ["--via", "h2=neighbour:eth1,10.0.0.2,2001:db8::2", "--via", "h3=routed:vxlan0"];
  expect(parse({ "--listen": "[::1]:9000" }, "--link", "eth1", "--ingress", "eth2", ...via)).toEqual({
    edge: new URL("http://127.0.0.1:8787"),
    pool: "eu",
    tokenFile: "r1.token",
    stateDirectory: "/var/lib/ipshard-router",
    whenCopied: "refuse",
    listen: { host: "::1", port: 9000 },
    config: {
      table: "ipshard",
      ingressDevices: ["eth0", "eth2"],
      neighbourDevice: "eth1",
      hosts: new Map<string, unknown>([
        ["h2", { kind: "neighbour", device: "eth1", nextHops: ["10.0.0.2", "2001:db8::2"] }],
        ["h3", { kind: "routed", device: "vxlan0", nextHops: [] }],
      ]),
      icmpErrorsPerSecond: 100,
    },
    metrics: null,
    steering: "auto",
    isDryRun: false,
    isRemovedAtEnd: false,
  });
});

test("[TR4] tokens go to no edge, and come to no listener, in plain text from elsewhere, unless it is forced", () => {
  for (const changes of [{ "--edge": "http://10.0.0.1:8787" }, { "--listen": "10.0.0.2:9000" }]) {
    expect(() => parse(changes)).toThrow(expect.objectContaining({ code: "plain-http-refused" }));
    expect(parse(changes, "--allow-plain-http")).not.toBeNull();
  }
  expect(parse({ "--edge": "https://edge.example" })).toMatchObject({ listen: null });
});

test("[AG1] what is wrong with an option is said with its name", () => {
  const wrong: Record<string, string | null> = {
    "--ingress": null,
    "--icmp-rate": "0",
    "--edge": "edge.example",
    "--pool": "Not A Name",
    "--listen": "9000",
    "--via": "h1=nowhere",
    "--copied-state": "perhaps",
  };
  for (const [name, value] of Object.entries(wrong)) expect(() => parse({ [name]: value })).toThrow(name);
});

test.each([
  ["--edge", null],
  ["--edge", "ftp://edge.example"],
  ["--edge", "http://user:secret@edge.example"],
  ["--edge", "http://edge.example/?x=1"],
  ["--pool", "Not A Name"],
  ["--ingress", null],
  ["--listen", "9000"],
  ["--listen", "127.0.0.1:70000"],
  ["--icmp-rate", "many"],
  ["--steering", "bpf"],
  ["--icmp-rate", "0"],
  ["--ingress", "../eth0"],
  ["--link", "a-name-too-long-for-linux"],
  ["--via", "h2=routed:a/b"],
  ["--table", "a-b"],
  ["--via", "h2"],
  ["--via", "h2=self:eth1"],
  ["--via", "h2=neighbour"],
  ["--via", "h2=neighbour:eth1,next"],
  ["--unheard-of", "1"],
])("[AG1] a router's %s %s is refused by name", (name, value) => {
  expect(() => parse({ [name]: value })).toThrow(expect.objectContaining({ code: "option-invalid" }));
});

test.each(["auto", "xdp", "nft"])("[RT16] what steers is said by name: %s", (steering) => {
  expect(parse({ "--steering": steering })?.steering).toBe(steering);
});

test("[AG1] a router is one host at most, and names none twice", () => {
  for (const ways of [
    ["h1=self", "h2=self"],
    ["h2=neighbour:eth1", "h2=neighbour:eth2"],
  ]) {
    expect(() => parse({}, ...ways.flatMap((way) => ["--via", way]))).toThrow(
      expect.objectContaining({ code: "option-invalid" }),
    );
  }
});

test("[RT11] the doctor has a help of its own, and the router's options", () => {
  let written = "";
  const about = { name: "ipshard doctor router", description: "Says what is wrong.", examples: [] };
  expect(parseCommandLine(["--help"], (text) => (written += text), about)).toBe(null);
  expect(written).toContain("Usage: ipshard doctor router");
  expect(written).toContain("--ingress");
});

test("[RT11] files of a running router are where they were when it was started", () => {
  const options = parse({});
  expect(withPathsFrom("/srv", options!)).toMatchObject({
    tokenFile: "/srv/r1.token",
    stateDirectory: "/var/lib/ipshard-router",
  });
});

test("[RT11] a router that runs is known by its command line, installed or in a checkout, and nothing else is", () => {
  const isRouter = (word: string): boolean => isOwnProgram(word, "router");
  const programs = ["/opt/ipshard/src/router/main.ts", "src/router/main.ts", "/srv/a b/dist/node/router.js"];
  expect(programs.filter((word) => !isRouter(word))).toEqual([]);
  const others = [
    "router",
    "/x/src/agent/main.ts",
    "/x/mysrc/router/main.ts",
    "/x/dist/node/router-doctor.js",
    "",
  ];
  expect(others.filter(isRouter)).toEqual([]);
  expect(isRouter(ownProgram("router"))).toBe(true);
});
