/**
 * One process per directory, by a Unix socket in it.
 *
 * The kernel knows best whether a process lives: a socket that somebody listens on accepts,
 * even while its process is paused, and one whose process was killed refuses. A refusing
 * socket is moved away before it is removed, and asked once more there: two processes that
 * find the same leftover cannot both take over. [SD2]
 */
import { once } from "node:events";
import { closeSync, linkSync, openSync, renameSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { outliveClients } from "./listener.ts";
import { join } from "node:path";

const LOCK_NAME = "agent.lock";
/** `sun_path` has 108 bytes on Linux and 104 elsewhere, the closing zero included. */
const MAX_SOCKET_PATH = 103;
const MAX_TRIES = 10;

/** Held from `acquire` until `release` or the end of the process. */
export class DirectoryLock {
  readonly #server: Server;
  readonly #directory: ShortDirectory;

  private constructor(server: Server, directory: ShortDirectory) {
    this.#server = server;
    this.#directory = directory;
  }

  /** The lock of a directory, or null if a living process has it. */
  static async acquire(path: string): Promise<DirectoryLock | null> {
    const directory = shorten(path);
    try {
      const server = await listenAlone(join(directory.path, LOCK_NAME));
      if (server !== null) return new DirectoryLock(server, directory);
    } catch (fault) {
      directory.close();
      throw fault;
    }
    directory.close();
    return null;
  }

  /** Lets another process have it. */
  async release(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
    this.#directory.close();
  }
}

async function listenAlone(path: string): Promise<Server | null> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const server = await tryListening(path);
    if (server !== null) return server;
    if (await isAlive(path)) return null;
    await removeLeftover(path);
  }
  throw new Error(`the lock ${path} keeps changing hands`);
}

async function tryListening(path: string): Promise<Server | null> {
  const server = createServer((socket) => socket.destroy());
  outliveClients(server);
  server.unref();
  try {
    server.listen(path);
    await once(server, "listening");
    return server;
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "EADDRINUSE") return null;
    throw fault;
  }
}

async function isAlive(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch (fault) {
    const { code } = fault as NodeJS.ErrnoException;
    // Anything else, such as a full queue, is no proof of death.
    return code !== "ECONNREFUSED" && code !== "ENOENT";
  } finally {
    socket.destroy();
  }
}

async function removeLeftover(path: string): Promise<void> {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (fault) {
    // Another process was faster.
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return;
    throw fault;
  }
  if (await isAlive(aside)) {
    try {
      linkSync(aside, path);
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== "EEXIST") throw fault;
    }
  }
  rmSync(aside, { force: true });
}

interface ShortDirectory {
  readonly path: string;
  close(): void;
}

/** The same directory under a name that leaves room for the socket's, however deep it lies. */
function shorten(path: string): ShortDirectory {
  if (Buffer.byteLength(path) + LOCK_NAME.length + 12 <= MAX_SOCKET_PATH || process.platform !== "linux") {
    return { path, close: () => {} };
  }
  const descriptor = openSync(path, "r");
  return { path: `/proc/self/fd/${descriptor}`, close: () => closeSync(descriptor) };
}
