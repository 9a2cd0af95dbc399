/**
 * A PostgreSQL and a Redis of Debian's, on loopback, with TLS and without, in a directory of their
 * own. Neither runs as root: they refuse to, or should.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CERTIFICATE, KEY } from "../agent/tls-origin.ts";
import { freePort, until } from "./cluster.ts";

const DEBIAN_POSTGRES = "/usr/lib/postgresql";

/** Where they listen, and what they ask for. */
export interface Databases {
  readonly postgresPort: number;
  readonly redisPort: number;
  readonly redisTlsPort: number;
  readonly user: string;
  readonly password: string;
  /** What clients must trust; also the file that it is in. */
  readonly certificate: string;
  readonly certificateFile: string;
  readonly stop: () => Promise<void>;
}

const USER = "tester";
const PASSWORD = "correct horse";

/** Starts both. */
export async function startDatabases(): Promise<Databases> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-databases-"));
  const own = await unprivileged(directory);
  const certificateFile = writeFor(own, join(directory, "server.crt"), CERTIFICATE);
  const keyFile = writeFor(own, join(directory, "server.key"), KEY);
  const [postgresPort, redisPort, redisTlsPort] = [await freePort(), await freePort(), await freePort()];
  const children = [
    startPostgres(directory, own, postgresPort, certificateFile, keyFile),
    startRedis(directory, own, redisPort, redisTlsPort, certificateFile, keyFile),
  ];
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(ended));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    for (const port of [postgresPort, redisPort, redisTlsPort]) {
      await until(`something listens on ${port}`, () => isListening(port));
    }
  } catch (fault) {
    await stop();
    throw fault;
  }
  return {
    postgresPort,
    redisPort,
    redisTlsPort,
    user: USER,
    password: PASSWORD,
    certificate: CERTIFICATE,
    certificateFile,
    stop,
  };
}

/** As whom they run: nobody, where this is root. */
interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

async function unprivileged(directory: string): Promise<Owner> {
  if (process.getuid!() !== 0) return {};
  const [, , uid, gid] = /^nobody:.*$/m.exec(readFileSync("/etc/passwd", "utf8"))![0].split(":");
  const owner = { uid: Number(uid), gid: Number(gid) };
  chownSync(directory, owner.uid, owner.gid);
  await chmod(directory, 0o755);
  return owner;
}

function writeFor({ uid, gid }: Owner, path: string, text: string): string {
  writeFileSync(path, text);
  chmodSync(path, 0o600);
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
  return path;
}

function startPostgres(
  directory: string,
  own: Owner,
  port: number,
  certificateFile: string,
  keyFile: string,
): ChildProcess {
  const version = readdirSync(DEBIAN_POSTGRES).toSorted().at(-1)!;
  const programs = join(DEBIAN_POSTGRES, version, "bin");
  const data = join(directory, "postgres");
  const passwordFile = writeFor(own, join(directory, "password"), PASSWORD);
  const how = { ...own, cwd: directory, env: { LC_ALL: "C", PATH: "/usr/bin:/bin" } };
  execFileSync(
    join(programs, "initdb"),
    ["-D", data, "-U", USER, "-A", "scram-sha-256", `--pwfile=${passwordFile}`, "-E", "UTF8", "--no-sync"],
    { ...how, stdio: "pipe" },
  );
  // The shared address and no other: what comes from elsewhere did not come through the egress.
  writeFileSync(join(data, "pg_hba.conf"), "host all all 127.0.0.10/32 scram-sha-256\n");
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: directory,
    ssl: "on",
    ssl_cert_file: certificateFile,
    ssl_key_file: keyFile,
    fsync: "off",
    shared_buffers: "16MB",
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  return spawn(join(programs, "postgres"), ["-D", data, ...args], { ...how, stdio: "ignore" });
}

function startRedis(
  directory: string,
  own: Owner,
  port: number,
  tlsPort: number,
  certificateFile: string,
  keyFile: string,
): ChildProcess {
  const data = join(directory, "redis");
  mkdirSync(data);
  if (own.uid !== undefined && own.gid !== undefined) chownSync(data, own.uid, own.gid);
  const settings = {
    bind: "127.0.0.1",
    port: String(port),
    "tls-port": String(tlsPort),
    "tls-cert-file": certificateFile,
    "tls-key-file": keyFile,
    "tls-ca-cert-file": certificateFile,
    "tls-auth-clients": "no",
    requirepass: PASSWORD,
    save: "",
    dir: data,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  return spawn("redis-server", args, { ...own, cwd: data, env: { PATH: "/usr/bin:/bin" }, stdio: "ignore" });
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => {
    child.once("exit", resolve);
  });
  // To PostgreSQL that is "immediate"; nothing of it is to be kept.
  child.kill("SIGQUIT");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await gone;
  clearTimeout(timer);
}
