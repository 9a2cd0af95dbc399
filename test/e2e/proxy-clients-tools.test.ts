/** Programs that administrators use, through a proxy: git, apt, and ssh. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join, normalize } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CERTIFICATE, KEY } from "../agent/tls-origin.ts";
import { SSHD } from "./client-programs.ts";
import { EGRESS_IP, freePort, until } from "./cluster.ts";
import { gitServer } from "./git-server.ts";
import { type Ended, FROM_H1, FROM_H2, ProxiedCluster, SECURE_NAME, SERVER_IP } from "./proxied-cluster.ts";

const SELECTION = "pool=default,session=cart-42";
/** Too much for any buffer on the way. */
const CONTENT = randomBytes(5_000_000);

let rig: ProxiedCluster;

beforeAll(async () => {
  rig = await ProxiedCluster.start();
  await writeFile(join(rig.cluster.directory, "content"), CONTENT);
});
afterAll(async () => {
  await rig?.stop();
});

describe("git", () => {
  /** Nothing of this machine's configuration counts. */
  const GIT_ENV = {
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_SYSTEM: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
    GIT_AUTHOR_NAME: "somebody",
    GIT_AUTHOR_EMAIL: "somebody@example.com",
    GIT_COMMITTER_NAME: "somebody",
    GIT_COMMITTER_EMAIL: "somebody@example.com",
  };
  let port: number;
  let cloneCount = 0;

  function git(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
    return rig.output("git", args, { env: { ...GIT_ENV, ...env } });
  }

  /** Clones by this configuration and environment; the contents of the clone. */
  async function clone(args: readonly string[], env: Record<string, string> = {}): Promise<Buffer> {
    cloneCount += 1;
    const directory = `clone-${cloneCount}`;
    await git([...args, "clone", "--quiet", url(), directory], env);
    return readFile(join(rig.cluster.directory, directory, "content"));
  }

  beforeAll(async () => {
    const root = join(rig.cluster.directory, "repositories");
    await git(["init", "--quiet", "--bare", "-b", "main", join(root, "project.git")]);
    await git(["-C", join(root, "project.git"), "config", "http.receivepack", "true"]);
    await git(["init", "--quiet", "-b", "main", "first"]);
    const first = join(rig.cluster.directory, "first");
    await writeFile(join(first, "content"), CONTENT);
    await git(["-C", first, "add", "content"]);
    await git(["-C", first, "commit", "--quiet", "-m", "begin"]);
    await git(["-C", first, "push", "--quiet", join(root, "project.git"), "main"]);
    port = await rig.serve(gitServer(root));
  });

  function url(): string {
    return `http://${rig.serverName}:${port}/project.git`;
  }

  test("clones by configuration, by environment, by SOCKS", async () => {
    const http = rig.proxyUrl("http");
    expect((await clone(["-c", `http.proxy=${http}`])).equals(CONTENT)).toBe(true);
    expect((await clone([], { http_proxy: http })).equals(CONTENT)).toBe(true);
    expect((await clone([], { all_proxy: rig.proxyUrl("socks5h") })).equals(CONTENT)).toBe(true);
    expect(await rig.egresses()).toEqual(FROM_H1);
  });

  test("token and selection: told at once, or when it is asked for them", async () => {
    for (const user of [SELECTION, encodeURIComponent(SELECTION)]) {
      const http = rig.proxyUrl("http", `${user}:${rig.token}`, "h2");
      expect((await clone(["-c", `http.proxy=${http}`])).equals(CONTENT)).toBe(true);
      const basic = ["-c", `http.proxy=${http}`, "-c", "http.proxyAuthMethod=basic"];
      expect((await clone(basic)).equals(CONTENT)).toBe(true);
    }
    const socks = rig.proxyUrl("socks5h", rig.loginInUrl(SELECTION), "h2");
    expect((await clone(["-c", `http.proxy=${socks}`])).equals(CONTENT)).toBe(true);
    expect(await rig.egresses()).toEqual(FROM_H2);
  });

  test("clones with TLS to the proxy", async () => {
    const proxy = rig.proxyUrl("https", `${SELECTION}:${rig.token}`, "h2");
    const args = ["-c", `http.proxy=${proxy}`, "-c", `http.proxySSLCAInfo=${rig.certificateFile}`];
    expect((await clone(args)).equals(CONTENT)).toBe(true);
    expect(await rig.egresses()).toEqual(FROM_H2);
  });

  test("where nobody asks for credentials, git says what it selects only if it is told to", async () => {
    const http = rig.proxyUrl("http", `ip=127.0.0.99:${rig.token}`);
    const args = ["-c", `http.proxy=${http}`];
    expect((await clone(args)).equals(CONTENT)).toBe(true);
    expect(await rig.egresses()).toEqual(FROM_H1);
    const basic = [...args, "-c", "http.proxyAuthMethod=basic", "ls-remote", url()];
    const { code, stderr } = await rig.run("git", basic, { env: GIT_ENV });
    expect({ code, stderr }).toMatchObject({ code: 128, stderr: expect.stringContaining("503") });
    expect(await rig.egresses()).toEqual([]);
  });

  test("pushes what is larger than its buffer, in chunks", async () => {
    const args = ["-c", `http.proxy=${rig.proxyUrl("http")}`, "-c", "http.postBuffer=65536"];
    await git([...args, "clone", "--quiet", url(), "second"]);
    const second = join(rig.cluster.directory, "second");
    await writeFile(join(second, "more"), randomBytes(3_000_000));
    await git(["-C", second, "add", "more"]);
    await git(["-C", second, "commit", "--quiet", "-m", "more"]);
    await git(["-C", second, ...args, "push", "--quiet", "origin", "main"]);
    const head = (await git(["-C", second, "rev-parse", "HEAD"])).trim();
    const remote = await git([...args, "ls-remote", url(), "refs/heads/main"]);
    expect(remote).toBe(`${head}\trefs/heads/main\n`);
    expect(await rig.egresses()).toEqual(FROM_H1);
  });
});

describe("apt", () => {
  let base: string;
  const ports = { http: 0, https: 0 };

  beforeAll(async () => {
    base = join(rig.cluster.directory, "apt");
    const tree = join(base, "package/DEBIAN");
    const repository = join(base, "repository");
    await mkdir(tree, { recursive: true });
    await mkdir(repository);
    await mkdir(join(base, "state/lists/partial"), { recursive: true });
    await mkdir(join(base, "cache/archives/partial"), { recursive: true });
    await writeFile(join(base, "package/content"), CONTENT);
    await writeFile(
      join(tree, "control"),
      "Package: sharded\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: nothing\n",
    );
    await rig.output("dpkg-deb", ["--root-owner-group", "-Znone", "-b", join(base, "package"), repository]);
    const packages = await rig.output("apt-ftparchive", ["packages", "."], { directory: repository });
    await writeFile(join(repository, "Packages"), packages);
    const release = await rig.output("apt-ftparchive", ["release", "."], { directory: repository });
    await writeFile(join(repository, "Release"), release);
    await writeFile(join(base, "status"), "");
    const serveFile: RequestListener = (request, response) => {
      readFile(join(repository, normalize(new URL(request.url ?? "/", "http://apt").pathname))).then(
        (content) => response.setHeader("content-length", content.length).end(content),
        () => response.writeHead(404).end(),
      );
    };
    ports.http = await rig.serve(createServer(serveFile));
    ports.https = await rig.serve(createSecureServer({ key: KEY, cert: CERTIFICATE }, serveFile));
  });

  /** Updates and downloads by this proxy; whether the package came whole. */
  async function download(scheme: "http" | "https", proxy: string): Promise<Ended & { isWhole: boolean }> {
    const state = `${scheme}://${SECURE_NAME}:${ports[scheme]}/`;
    await writeFile(join(base, "sources.list"), `deb [trusted=yes] ${state} ./\n`);
    const settings = {
      Dir: base,
      "Dir::State": join(base, "state"),
      "Dir::State::status": join(base, "status"),
      "Dir::Cache": join(base, "cache"),
      "Dir::Etc::SourceList": join(base, "sources.list"),
      "Dir::Etc::SourceParts": "/dev/null",
      "Dir::Etc::Parts": "/dev/null",
      "Dir::Bin::methods": "/usr/lib/apt/methods",
      "Acquire::Languages": "none",
      "Acquire::Retries": "0",
      "Acquire::https::CaInfo": rig.certificateFile,
      "Acquire::http::Proxy": proxy,
      "Acquire::https::Proxy": proxy,
      // Its user might not read what is only ours.
      "APT::Sandbox::User": userInfo().username,
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const env = { APT_CONFIG: "/dev/null" };
    const fresh = { env, directory: join(base, "cache") };
    const updated = await rig.run(
      "apt-get",
      [...options, "-o", "APT::Update::Error-Mode=any", "update"],
      fresh,
    );
    if (updated.code !== 0) return { ...updated, isWhole: false };
    const ended = await rig.run("apt-get", [...options, "download", "sharded"], fresh);
    const file = join(base, "cache/sharded_1.0_all.deb");
    const [got, wanted] = await Promise.all(
      [file, join(base, "repository/sharded_1.0_all.deb")].map((path) => readFile(path).catch(() => null)),
    );
    await rig.output("rm", ["-rf", file, join(base, "state/lists")]);
    return { ...ended, isWhole: got != null && wanted != null && got.equals(wanted) };
  }

  test.each(["http", "https"] as const)("updates and downloads from an archive of %s", async (scheme) => {
    for (const proxy of [rig.proxyUrl("http"), rig.proxyUrl("socks5h")]) {
      expect(await download(scheme, proxy)).toMatchObject({ code: 0, isWhole: true });
    }
    expect(await rig.egresses()).toEqual(FROM_H1);
    for (const user of [SELECTION, encodeURIComponent(SELECTION)]) {
      const proxy = rig.proxyUrl("http", `${user}:${rig.token}`, "h2");
      expect(await download(scheme, proxy)).toMatchObject({ code: 0, isWhole: true });
    }
    const socks = rig.proxyUrl("socks5h", rig.loginInUrl(SELECTION), "h2");
    expect(await download(scheme, socks)).toMatchObject({ code: 0, isWhole: true });
    const secure = rig.proxyUrl("https", `${SELECTION}:${rig.token}`, "h2");
    expect(await download(scheme, secure)).toMatchObject({ code: 0, isWhole: true });
    expect(await rig.egresses()).toEqual(FROM_H2);
  });

  test("tells its user what the proxy refused", async () => {
    const stranger = await download("http", rig.proxyUrl("http", "", "h2"));
    expect(stranger).toMatchObject({ code: 100, stderr: expect.stringContaining("407") });
    const elsewhere = await download("https", rig.proxyUrl("http", `ip=127.0.0.99:${rig.token}`));
    expect(elsewhere).toMatchObject({ code: 100, stderr: expect.stringContaining("503") });
    expect(await rig.egresses()).toEqual([]);
  });
});

describe("ssh", () => {
  let daemon: ChildProcess;
  let port: number;
  let options: readonly string[];

  beforeAll(async () => {
    const base = join(rig.cluster.directory, "ssh");
    await mkdir(base, { mode: 0o700 });
    for (const name of ["host", "client"]) {
      await rig.output("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(base, name)]);
    }
    port = await freePort();
    const settings = [
      `Port ${port}`,
      `ListenAddress ${SERVER_IP}`,
      `HostKey ${join(base, "host")}`,
      `AuthorizedKeysFile ${join(base, "client.pub")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin prohibit-password",
    ];
    await writeFile(join(base, "sshd_config"), `${settings.join("\n")}\n`);
    // Where it locks itself in; a service manager makes it elsewhere.
    if (process.getuid?.() === 0) await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
    daemon = spawn(SSHD, ["-D", "-e", "-f", join(base, "sshd_config")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    daemon.stderr?.resume();
    await until("sshd listens", async () => {
      const trial = connect(port, SERVER_IP);
      try {
        await once(trial, "connect");
        return true;
      } finally {
        trial.destroy();
      }
    });
    options = [
      "-F",
      "none",
      "-i",
      join(base, "client"),
      "-p",
      String(port),
      "-l",
      userInfo().username,
      "-o",
      "StrictHostKeyChecking=no",
      "-o",
      `UserKnownHostsFile=${join(base, "known")}`,
      "-o",
      "BatchMode=yes",
      "-o",
      "IdentitiesOnly=yes",
    ];
  });
  afterAll(async () => {
    if (daemon === undefined) return;
    const ended = once(daemon, "exit");
    daemon.kill("SIGTERM");
    await ended;
  });

  function ssh(proxyCommand: string, command: string, input: Buffer | string = ""): Promise<string> {
    const args = [...options, "-o", `ProxyCommand=${proxyCommand}`, SECURE_NAME, command];
    return rig.output("ssh", args, { input });
  }

  test("by the proxy commands that people use, to a name that only the host knows", async () => {
    const { host } = new URL(rig.proxyUrl("http"));
    const strict = new URL(rig.proxyUrl("http", "", "h2")).host;
    const auth = `--proxy-auth '${SELECTION}:${rig.token}'`;
    const { userName, password } = rig.login(SELECTION);
    const commands = [
      `nc.openbsd -X 5 -x ${host} %h %p`,
      `nc.openbsd -X connect -x ${host} %h %p`,
      `ncat --proxy-type socks5 --proxy-dns remote --proxy ${host} %h %p`,
      `ncat --proxy-type http --proxy-dns remote --proxy ${host} %h %p`,
      `ncat --proxy-type http --proxy-dns remote ${auth} --proxy ${strict} %h %p`,
      `ncat --proxy-type socks5 --proxy-dns remote --proxy-auth '${userName}:${password}' --proxy ${strict} %h %p`,
    ];
    for (const [at, command] of commands.entries()) {
      // Said by the daemon: whence it was reached.
      const [address = "", from = ""] = (await ssh(command, "echo $SSH_CLIENT")).split(" ");
      expect({ command, address }).toEqual({ command, address: EGRESS_IP });
      rig.note(address, Number(from));
      expect(await rig.egresses(), command).toEqual(at < 4 ? FROM_H1 : FROM_H2);
    }
  });

  test("carries much in both directions, to the last byte", async () => {
    const { host } = new URL(rig.proxyUrl("http"));
    const command = `nc.openbsd -X 5 -x ${host} %h %p`;
    const sums = await ssh(command, "tee /dev/stderr 2>/dev/null | sha256sum; echo $SSH_CLIENT", CONTENT);
    const [sum = "", client = ""] = sums.split("\n");
    const wanted = await rig.output("sha256sum", [], { input: CONTENT });
    expect(sum).toBe(wanted.trim());
    const [address = "", from = ""] = client.split(" ");
    rig.note(address, Number(from));
    const file = join(rig.cluster.directory, "content");
    const back = await rig.output("sh", [
      "-c",
      'file=$1; shift; ssh "$@" | cmp - "$file" && echo same',
      "sh",
      file,
      ...options,
      "-o",
      `ProxyCommand=${command}`,
      SECURE_NAME,
      `cat ${file}`,
    ]);
    expect(back).toBe("same\n");
    expect(await rig.egresses()).toEqual(FROM_H1);
  });
});

test("at the end nothing is held", async () => {
  expect(
    JSON.parse(await rig.output("curl", ["-sS", "-x", rig.proxyUrl("http"), rig.named("/seen")])),
  ).toMatchObject({
    address: EGRESS_IP,
  });
  await rig.untilNothingIsHeld();
});
