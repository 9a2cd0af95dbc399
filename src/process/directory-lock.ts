/**
 * One process per directory, by Unix sockets in it.
 *
 * The kernel knows best whether a process lives: a socket that somebody listens on accepts, even
 * while its process is paused, and one whose process was killed refuses. Each process that wants
 * the lock shows a socket of a name that is never used again, and only then looks for others: of
 * two that want it together, at least one sees the other. What refuses under such a name is dead
 * for good, so that whoever finds it may remove it. [SD2]
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { outliveClients } from "./listener.ts";

/** Beginning of every name. Later ones sort later, as long as the clock is not set back. */
const LOCK_NAME = "agent.lock";
/** Beginning of the names of sockets on which nobody may listen yet. */
const UNREADY_NAME = "new.lock";
/** Characters behind either beginning. */
const UNIQUE_LENGTH = 18;
/** `sun_path` has 108 bytes on Linux and 104 elsewhere, the closing zero included. */
const MAX_SOCKET_PATH = 103;
/** How often, and after which rest, it is looked whether others have given up. */
const MAX_LOOKS = 100;
const LOOK_AGAIN_MS = 20;

/** Held from `acquire` until `release` or the end of the process. */
export class DirectoryLock {
  readonly #server: Server;
  readonly #directory: ShortDirectory;
  readonly #name: string;

  private constructor(server: Server, directory: ShortDirectory, name: string) {
    this.#server = server;
    this.#directory = directory;
    this.#name = name;
  }

  /** The lock of a directory, or null if a living process has it. */
  static async acquire(path: string): Promise<DirectoryLock | null> {
    const directory = shorten(path);
    let lock: DirectoryLock | null = null;
    try {
      const unique = Date.now().toString(36).padStart(9, "0") + randomBytes(4).toString("hex");
      const name = `${LOCK_NAME}.${unique}`;
      const server = await listenAs(directory.path, `${UNREADY_NAME}.${unique}`, name);
      lock = new DirectoryLock(server, directory, name);
      if (await isAlone(directory.path, name)) return lock;
    } catch (fault) {
      if (lock === null) directory.close();
      else await lock.release();
      throw fault;
    }
    await lock.release();
    return null;
  }

  /** Lets another process have it. */
  async release(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
    rmSync(join(this.#directory.path, this.#name), { force: true });
    this.#directory.close();
  }
}

/** Listens, and only then has the name by which others look for it. */
async function listenAs(directory: string, unready: string, name: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  outliveClients(server);
  server.unref();
  server.listen(join(directory, unready));
  await once(server, "listening");
  try {
    renameSync(join(directory, unready), join(directory, name));
  } catch (fault) {
    server.close();
    throw fault;
  }
  return server;
}

/**
 * Whether nobody else lives here. Of several that came together all but the first give up; the first
 * waits for that, and gives up itself if one of them does not, since it was there before.
 */
async function isAlone(directory: string, name: string): Promise<boolean> {
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    const others = readdirSync(directory).filter((other) => other.startsWith(LOCK_NAME) && other !== name);
    const alive: string[] = [];
    for (const other of others) {
      if (await isAlive(join(directory, other))) alive.push(other);
      else rmSync(join(directory, other), { force: true });
    }
    if (alive.length === 0) return true;
    if (alive.some((other) => other < name)) return false;
    await delay(LOOK_AGAIN_MS);
  }
  return false;
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

interface ShortDirectory {
  readonly path: string;
  close(): void;
}

/** The same directory under a name that leaves room for the socket's, however deep it lies. */
function shorten(path: string): ShortDirectory {
  if (
    Buffer.byteLength(path) + 1 + LOCK_NAME.length + UNIQUE_LENGTH <= MAX_SOCKET_PATH ||
    process.platform !== "linux"
  ) {
    return { path, close: () => {} };
  }
  const descriptor = openSync(path, "r");
  return { path: `/proc/self/fd/${descriptor}`, close: () => closeSync(descriptor) };
}
