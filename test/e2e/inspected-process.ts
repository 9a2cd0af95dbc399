/**
 * What lives inside a running process of Node, by its own inspector: timers, sockets, listeners, and
 * memory after all garbage has been collected. A timer that does not keep its process alive shows
 * nowhere else.
 */
import { readFile } from "node:fs/promises";
import { WebSocket } from "ws";
import { until } from "./cluster.ts";

/** To be in the environment of a process that is to be looked into: the inspector finds a free port. */
export const INSPECTABLE = "--inspect-port=0";

/** What there is, after garbage has been collected. */
export interface Inside {
  readonly timers: number;
  readonly sockets: number;
  readonly emitters: number;
  readonly abortSignals: number;
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly residentBytes: number;
}

const PROTOTYPES = {
  timers:
    "Object.getPrototypeOf((() => { const t = setTimeout(() => {}, 0); clearTimeout(t); return t; })())",
  sockets: "process.getBuiltinModule('node:net').Socket.prototype",
  emitters: "process.getBuiltinModule('node:events').prototype",
  abortSignals: "AbortSignal.prototype",
} as const;
/** What has ended may still be known to somebody; it counts only as long as it does something. */
const COUNT = `function () {
  const isOver = (each) => each._destroyed === true || each.destroyed === true;
  // Prototypes are among them, on which a getter may throw.
  return this.filter((each) => { try { return !isOver(each); } catch { return false; } }).length;
}`;

/** One process, looked into. */
export class InspectedProcess {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (message: any) => void>();
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (text: Buffer) => {
      const message = JSON.parse(text.toString());
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    });
  }

  /** Opens the inspector of a process that was started as `INSPECTABLE`, and writes to this log. */
  static async open(pid: number, log: string): Promise<InspectedProcess> {
    process.kill(pid, "SIGUSR1");
    let url: string | undefined;
    await until("the inspector listens", async () => {
      url = /Debugger listening on (ws:\S+)/.exec(await readFile(log, "utf8"))?.[1];
      return url !== undefined;
    });
    const socket = new WebSocket(url!, { perMessageDeflate: false });
    await new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    return new InspectedProcess(socket);
  }

  /** Collects garbage and counts. */
  async look(): Promise<Inside> {
    // What finalisers let go is garbage only then.
    for (let turn = 0; turn < 3; turn += 1) await this.#call("HeapProfiler.collectGarbage");
    const counts: Record<string, number> = {};
    for (const [what, expression] of Object.entries(PROTOTYPES)) counts[what] = await this.#count(expression);
    const { result } = await this.#call("Runtime.evaluate", {
      expression: "process.memoryUsage()",
      returnByValue: true,
    });
    const { heapUsed, external, rss } = result.value;
    return {
      ...(counts as Record<keyof typeof PROTOTYPES, number>),
      heapBytes: heapUsed,
      externalBytes: external,
      residentBytes: rss,
    };
  }

  close(): void {
    this.#socket.terminate();
  }

  async #count(expression: string): Promise<number> {
    const objectGroup = "look";
    const { result: prototype } = await this.#call("Runtime.evaluate", { expression, objectGroup });
    const { objects } = await this.#call("Runtime.queryObjects", {
      prototypeObjectId: prototype.objectId,
      objectGroup,
    });
    const { result } = await this.#call("Runtime.callFunctionOn", {
      objectId: objects.objectId,
      functionDeclaration: COUNT,
      returnByValue: true,
    });
    await this.#call("Runtime.releaseObjectGroup", { objectGroup });
    return result.value;
  }

  async #call(method: string, params: object = {}): Promise<any> {
    this.#lastId += 1;
    const id = this.#lastId;
    const answered = new Promise<any>((resolve) => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result;
  }
}
