/** Whose packets the kernel translates, as `--snat` and a file say it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { agentCommand, parseConfig } from "../../src/agent/command-line.ts";
import { readSnatRules } from "../../src/agent/translation/snat-rule.ts";
import { configured } from "../../src/process/configuration.ts";

const NEEDED = [
  "--edge=http://127.0.0.1:1",
  "--pool=eu",
  "--token-file=t",
  "--state=s",
  "--listen=127.0.0.1:0",
];

function silent(): void {
  // What a program would print.
}

test("[SN1] a rule names its senders, what they reach directly, and by which addresses they leave", () => {
  const text =
    "source=10.244.3.7/16 2001:db8::7/64 192.0.2.9, device=cni0, mark=0x10/0xf0 5, cgroup=/jobs.slice/a, " +
    "direct=10.0.0.0/8, ip=198.51.100.1 2001:db8:0::1, pool=eu, name=pods";
  expect(readSnatRules([text], "eu")).toEqual([
    {
      name: "pods",
      sources: ["10.244.0.0/16", "2001:db8::/64", "192.0.2.9/32"],
      devices: ["cni0"],
      marks: [
        { value: 0x10, mask: 0xf0 },
        { value: 5, mask: 0xffff_ffff },
      ],
      cgroups: ["jobs.slice/a"],
      direct: ["10.0.0.0/8"],
      ips: ["198.51.100.1", "2001:db8::1"],
    },
  ]);
  expect(readSnatRules(["source=10.0.0.0/8"], "eu")[0]!.name).toBe("translated");
});

test.each([
  ["", "none of name"],
  ["sources=10.0.0.0/8", "none of name"],
  ["name=pods", "nobody"],
  ["source=", "no value"],
  ["source=10.0.0.0/8, source=10.1.0.0/16", "said twice"],
  ["source=10.0.0.0/33", "not a network"],
  ["source=pods", "not a network"],
  ["source=10.0.0.0/8, name=Ä", "cannot be a name"],
  ["source=10.0.0.0/8, name=a b", "one value"],
  ["source=10.0.0.0/8, pool=us", "in the pool eu"],
  ["source=10.0.0.0/8, country=de", "no country"],
  ["source=10.0.0.0/8, site=fra", "no country and no site"],
  ["source=10.0.0.0/8, ip=one", "not an IP address"],
  ["device=eth0:x/y", "cannot be the name of a network device"],
  ['device=a"b', "cannot be the name of a network device"],
  ["mark=0", "are set"],
  ["mark=0x1ffffffff", "not a mark"],
  ["mark=0x3000/0xf000", "knows all senders"],
  ['cgroup=a"b', "cannot be the name of a control group"],
  ...["/", "a//b", "a/./b", "..", "//a"].map((path): [string, string] => [
    `cgroup=${path}`,
    "is not the path of a control group below the root",
  ]),
  ["cgroup=/sys/fs/cgroup/a", "the path below"],
  ["source=10.0.0.0/8=x", "or two"],
  ["source=10.0.0.0/8, 10.1.0.0/16", "no commas"],
])("[SN1] %j is refused, and it is said why", (text, why) => {
  expect(() => readSnatRules([text], "eu")).toThrow(
    expect.objectContaining({ code: "option-invalid", message: expect.stringContaining(why) }),
  );
});

test("[SN1] more control groups than can be told apart are refused", () => {
  const groups = Array.from({ length: 8 }, (_, at) => `g${at}`).join(" ");
  expect(() => readSnatRules([`cgroup=${groups}`, `cgroup=${groups}`], "eu")).toThrow("at most 15");
});

test("[SN1] [CF2] a file has a rule as a mapping, or as the text of the option", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-snat-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, "ipshard.yaml");
  await writeFile(
    file,
    [
      "agent:",
      "  snat:",
      "    - source: [10.244.0.0/16, fd00:244::/48]",
      "      direct: 10.0.0.0/8",
      "      name: pods",
      "    - device=docker0",
    ].join("\n"),
  );
  const said = await configured("agent", agentCommand(silent), [...NEEDED, "--config", file], {
    environment: {},
    directory,
  });
  const { snat, machine } = parseConfig(said.args, silent)!;
  expect(snat.map(({ name, sources, devices }) => [name, sources, devices])).toEqual([
    ["pods", ["10.244.0.0/16", "fd00:244::/48"], []],
    ["translated", [], ["docker0"]],
  ]);
  expect(machine).toBe("require");
});

test("[SN1] a host without a guard cannot translate", () => {
  expect(() => parseConfig([...NEEDED, "--machine=off", "--snat=source=10.0.0.0/8"], silent)).toThrow(
    expect.objectContaining({ code: "option-invalid", message: expect.stringContaining("--machine off") }),
  );
});
