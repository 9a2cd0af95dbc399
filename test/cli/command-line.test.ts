/** The command line itself: which verbs there are, and what is said of one that there is not. */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { once } from "node:events";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { edgeApi } from "../../src/api/edge-api.ts";
import { EdgeAnswerUnreadable, EdgeRefusal, EdgeUnreachable } from "../../src/api/errors.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { program } from "../../src/cli/program.ts";
import { safeScript } from "../../src/cli/completion/shell-script.ts";
import { commandFault } from "../../src/cli/output/faults.ts";

/** What an agent needs besides an edge; none of it is read before the options are found right. */
const AGENT = ["--pool=eu", "--token-file=t", "--state=s", "--listen=127.0.0.1:1"];
const ROOT = join(import.meta.dirname, "../..");

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const child = execFile(join(ROOT, "bin/ipshard.js"), args, (_fault, stdout, stderr) =>
      resolve({ code: child.exitCode!, stdout, stderr }),
    );
  });
}

test("[CI14] the help names every verb, each from a file of its own", async () => {
  const { code, stdout } = await run("--help");
  const named = [...stdout.matchAll(/^ {2}(\w+) (?:\[| {2,}\S)/gm)].map(([, verb]) => verb!);
  const files = readdirSync(join(ROOT, "src/cli/verbs")).map((file) => file.replace(/\.ts$/, ""));
  expect(code).toBe(0);
  expect(named.filter((verb) => verb !== "help").toSorted()).toEqual(files.toSorted());
});

test.each(["edge", "agent", "router", "keys"])("[CI14] the help of %s ends well", async (verb) => {
  const { code, stdout, stderr } = await run(verb, "--help");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(new RegExp(`^Usage: ipshard ${verb} `));
});

test("[CI14] the version is that of the package", async () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  expect(await run("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
});

test.each([
  [["strat"], "start"],
  [["pool", "lsit"], "list"],
  [["host", "drian", "h1"], "drain"],
  [["agnet", "--edge", "http://127.0.0.1:1"], "agent"],
  [["start", "--prot", "9000"], "--port"],
  [["plan", "--connections-per-second", "1", "--host", "3"], "--hosts"],
  [["token", "--role", "client", "--nmae", "a", "--name", "a"], "--name"],
  // Options of programs of their own, both with and without what they require.
  [["agent", "--egde", "http://127.0.0.1:1"], "--edge"],
  [["router", "--dry-rnu"], "--dry-run"],
  [["doctor", "--edge=a", "--token-file=b", "--gateway=c", "--to=d", "--edgee=e"], "--edge"],
  [["doctor", "router", "--stat", "x"], "--state"],
] as const)("[CI14] of %j it is said that %s is meant", async (args, meant) => {
  const { code, stdout, stderr } = await run(...args);
  expect(stderr).toContain(`(Did you mean ${meant}?)`);
  expect([code, stdout]).toEqual([1, ""]);
});

test.each([
  [["edge", "--host", "0.0.0.0"], "--certificate"],
  [["agent", ...AGENT, "--edge", "http://10.0.0.1:8787"], "https"],
  [["agent", ...AGENT, "--edge", "https://e.example", "--proxy", "0.0.0.0:3128"], "--proxy-certificate"],
  [["doctor", "--edge", "http://10.0.0.1", "--token-file=b", "--gateway=https://c", "--to=d"], "https"],
  [["doctor", "--edge", "https://a", "--token-file=b", "--gateway=http://c.example", "--to=d"], "https"],
])("[TR4] %j does nothing, and says what to do instead", async (args, advice) => {
  const { code, stdout, stderr } = await run(...args);
  expect(stderr.trim()).toMatch(/\[plain-http-refused\]$/);
  expect(stderr).toContain(advice);
  expect(stderr).toContain("--allow-plain-http");
  expect([code, stdout]).toEqual([1, ""]);
});

test("[TR4] what the client of the API refuses is said in the words of a command line", () => {
  let refused: unknown;
  try {
    edgeApi({ edge: "http://edge.example", token: () => "t" });
  } catch (fault) {
    refused = commandFault(fault);
  }
  expect(refused).toMatchObject({
    code: "plain-http-refused",
    message: expect.stringContaining("--allow-plain-http"),
  });
});

test.each([
  [new EdgeRefusal("GET /v1/pools", 403, { code: "role-denied", title: "No." }), "edge-refused"],
  [new EdgeUnreachable("http://127.0.0.1:1", new Error("refused")), "edge-not-answering"],
  [new EdgeAnswerUnreadable("GET /v1/pools", 502, null), "edge-not-answering"],
])("[CI1] %s ends a command as %s", (fault, code) => {
  expect(commandFault(fault)).toMatchObject({ name: "CommandFault", code, message: fault.message });
});

test("[CI16] bash completes verbs and options by what the command line prints for it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-complete-"));
  await symlink(join(ROOT, "bin/ipshard.js"), join(directory, "ipshard"));
  const completed = (line: string): Promise<string> =>
    new Promise((resolve, reject) => {
      // Bash itself has no such function: the package bash-completion brings it.
      const words =
        '_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; }';
      const script = `source <(ipshard complete bash)
${words}
COMP_LINE=${JSON.stringify(line)} COMP_POINT=\${#COMP_LINE} COMP_TYPE=9
read -ra COMP_WORDS <<< "$COMP_LINE"; COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
__ipshard_complete 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]%%[[:space:]]*}"`;
      const env = { ...process.env, PATH: `${directory}:${process.env["PATH"]}` };
      execFile("bash", ["-c", script], { env }, (fault, stdout) => (fault ? reject(fault) : resolve(stdout)));
    });
  expect((await completed("ipshard po")).trim().split("\n")).toEqual(["pool", "policy"]);
  expect((await completed("ipshard ip add --adv")).trim()).toBe("--advertised");
  // No edge is there, and no word is said of it.
  expect((await completed("ipshard host drain h")).trim()).toBe("");
  // Its options are those of another program.
  expect((await completed("ipshard agent --drain")).trim()).toBe("--drain-deadline");
  await rm(directory, { recursive: true });
  for (const shell of ["zsh", "fish", "powershell"]) {
    expect(await run("complete", shell)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("ipshard"),
    });
  }
});

test("[CI18] nothing that is typed, and nothing that is offered, is carried out by bash", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-typed-"));
  const script = join(directory, "script");
  await writeFile(script, (await run("complete", "bash")).stdout);
  const typed = [
    "--token-file",
    "$(touch ran)",
    "`touch ran`",
    ";touch ran",
    "a'$(touch ran)'",
    "<(touch ran)",
    "${x[$(touch ran)]}",
    "*",
    "~/token",
    "$EDGE",
    '"${EDGE}"',
    "'a b'",
    "a\\ b",
    "",
  ];
  const said = "$(touch ran)\tabout: it\nsafe\n`touch ran`\n:x[$(touch ran)]";
  const pressed = `cd ${directory}; EDGE="https://e.example"; HOME=/home/me; source ./script
    _get_comp_words_by_ref() { words=(ipshard pool show ${typed.map(quotedForBash).join(" ")}); cur=""; cword=16; }
    compopt() { :; }; ipshard() { printf '%s\n' "$@" > given; printf '%s\n' ${quotedForBash(said)}; }
    __ipshard_complete; printf '%s\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await promisify(execFile)("bash", ["-c", pressed]);
  expect(stdout).toBe("$(touch ran)\nsafe\n`touch ran`\n");
  expect((await readFile(join(directory, "given"), "utf8")).split("\n")).toEqual([
    "complete",
    "--",
    "pool",
    "show",
    ...typed.slice(0, 8),
    "/home/me/token",
    "https://e.example",
    "https://e.example",
    "a b",
    "a b",
    "",
    "",
  ]);
  expect(readdirSync(directory).toSorted()).toEqual(["given", "script"]);
  await rm(directory, { recursive: true });
});

function quotedForBash(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

test("[CI18] a script of the library that is another than was replaced is given to nobody", () => {
  expect(() => safeScript("bash", "eval all of it")).toThrow("is not the one");
  expect(safeScript("fish", "as it is")).toBe("as it is");
});

test("[CI17] an edge that says nothing costs a line that is being typed nothing but the names", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const directory = await mkdtemp(join(tmpdir(), "ipshard-complete-"));
  const tokenFile = join(directory, "token");
  await writeFile(tokenFile, "a.b.c");
  const by = ["--edge", `http://127.0.0.1:${port}`, "--token-file", tokenFile];
  const lines = [
    ["top", ...by, "--pool", ""],
    ["map", "--token-file", "-", ""],
    ["map", "--edge", "no url", ""],
  ];
  for (const said of await Promise.all(lines.map((words) => run("complete", "--", ...words))))
    expect(said).toEqual({ code: 0, stdout: ":4\n", stderr: "" });
  await rm(directory, { recursive: true });
  silent.close();
});

test("[CI17] [OV4] names of a hostile edge run nothing in a shell, and control no terminal", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-hostile-"));
  const [tokenFile, ran] = [join(directory, "token"), join(directory, "ran")];
  const evil = `eu\n$(touch ${ran})\n\u001b]0;owned\u0007\u009b2J\u202e\n:0`;
  const host = {
    host: "h1",
    gateway: "http://h1",
    live: true,
    draining: false,
    site: evil,
    weight: 1,
    uplink: "unknown",
    leaving: [],
    drain: null,
    policyVersion: null,
    slots: [],
    rooms: [],
    reach: { ipv4: null, ipv6: null },
  };
  const hostile = {
    pool: evil,
    settings: DEFAULT_POOL_SETTINGS,
    ips: [],
    hosts: [host, { ...host, host: `$(touch ${ran})` }],
    slots: null,
    steeringSequence: 1,
    routers: [],
    policyVersion: 1,
  };
  const server = createHttpServer(({ url }, response) => {
    const refused = { code: evil, title: evil };
    if (url === "/v1/pools") response.end(JSON.stringify({ pools: [evil, "eu", `$(touch ${ran})`] }));
    else if (url === "/v1/pools/eu") response.end(JSON.stringify(hostile));
    else response.writeHead(404).end(JSON.stringify(refused));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  await writeFile(tokenFile, "a.b.c");
  const { port } = server.address() as AddressInfo;
  const by = ["--edge", `http://127.0.0.1:${port}`, "--token-file", tokenFile];
  expect((await run("complete", "--", "pool", "show", ...by, "")).stdout).toBe("eu\ta pool\n:4\n");
  const about = `pool eu?$(touch ${ran})??]0;owned??2J??:0`;
  expect((await run("complete", "--", "host", "show", ...by, "--pool", "eu", "")).stdout).toBe(
    `h1\t${about}\n:4\n`,
  );
  const script = `PATH=${join(ROOT, "bin")}:$PATH; source <(ipshard.js complete bash | sed 's/(ipshard complete/(ipshard.js complete/')
    _get_comp_words_by_ref() { words=(ipshard host show ${by.join(" ")} --pool eu ""); cur=""; cword=10; }
    compopt() { :; }; __ipshard_complete; printf '%s\n' "\${COMPREPLY[@]}"`;
  const inBash = await promisify(execFile)("bash", ["-c", script]);
  expect(inBash.stdout).toBe("h1\n");
  const verbs = [
    ["pool", "show", "eu"],
    ["pool", "show", "eu", "--json"],
    ["host", "show", "h1"],
  ];
  for (const { stdout, stderr } of await Promise.all(verbs.map((words) => run(...words, ...by)))) {
    expect(`${stdout}${stderr}`).toContain("owned");
    // oxlint-disable-next-line no-control-regex
    expect(`${stdout}${stderr}`).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
  }
  await expect(readFile(ran)).rejects.toThrow("ENOENT");
  await rm(directory, { recursive: true });
  server.close();
});

test("[CI16] the help of each verb gives examples", async () => {
  const verbs = readdirSync(join(ROOT, "src/cli/verbs")).map((file) => file.replace(/\.ts$/, ""));
  for (const verb of verbs) expect((await run(verb, "--help")).stdout, verb).toMatch(/Examples:\n {2}\S/);
  for (const word of ["add", "list"])
    expect((await run("router", word, "--help")).stdout, word).toContain(`  ipshard router ${word} `);
}, 120_000);

test("[CI16] each verb below another has an example, and no example takes what there is not", () => {
  const lines = program.commands.flatMap((verb) => [
    ...examplesOf(verb),
    ...verb.commands.flatMap((below) => {
      const own = examplesOf(below);
      const name = `${verb.name()} ${below.name()}`;
      expect(own, name).not.toEqual([]);
      for (const line of own) expect(line, name).toMatch(new RegExp(`^${name}( |$)`));
      return own;
    }),
  ]);
  for (const line of lines) {
    const words = line.split(/ [|>] | <\(| -- /, 1)[0]!.split(" ");
    let verb: Command = program;
    for (const word of words) verb = verb.commands.find((below) => below.name() === word) ?? verb;
    // Those are read by another program.
    if (["agent", "router", "doctor"].includes(verb.name())) continue;
    const known = verb.options.flatMap(({ long, short }) => [long, short]);
    for (const word of words.filter((one) => one.startsWith("-"))) expect(known, line).toContain(word);
  }
});

function examplesOf(verb: Command): string[] {
  let text = "";
  const former = verb.configureOutput();
  verb.configureOutput({ ...former, writeOut: (piece) => (text += piece) });
  verb.outputHelp();
  verb.configureOutput(former);
  return [...text.matchAll(/^ {2}ipshard (.*)$/gm)].map(([, line]) => line!);
}
