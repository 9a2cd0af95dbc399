/** A client of the `tenants` bench, in a process of its own: asks a proxy so many times in a second. */
import { connect, type Socket } from "node:net";
import { nowMs, quantile } from "../report.ts";

/** What it is to do. */
export interface AskerTask {
  readonly port: number;
  readonly login: { readonly user: string; readonly password: string };
  readonly perSecond: number;
  readonly connectionCount: number;
  readonly seconds: number;
}

/** What became of it. */
export interface AskerReport {
  readonly askedCount: number;
  /** With 200, and with 429. */
  readonly answeredCount: number;
  readonly limitedCount: number;
  readonly p99Ms: number;
}

const ORIGIN = "127.0.1.1:2080";
const LAST_ANSWERS_MS = 5_000;

/** Requests of HTTP/1.1, one after another on each connection, in the order in which they are due. */
class Asker {
  readonly #task: AskerTask;
  readonly #request: string;
  readonly #free: Socket[] = [];
  readonly #due: number[] = [];
  readonly #latenciesMs: number[] = [];
  #askedCount = 0;
  #answeredCount = 0;
  #limitedCount = 0;
  #doneCount = 0;

  constructor(task: AskerTask) {
    this.#task = task;
    const { user, password } = task.login;
    const login = Buffer.from(`${user}:${password}`).toString("base64");
    const lines = [
      `GET http://${ORIGIN}/ HTTP/1.1`,
      `host: ${ORIGIN}`,
      `proxy-authorization: Basic ${login}`,
    ];
    this.#request = `${lines.join("\r\n")}\r\n\r\n`;
  }

  async run(): Promise<AskerReport> {
    const { perSecond, seconds, connectionCount } = this.#task;
    for (let at = 0; at < connectionCount; at += 1) this.#open();
    const startMs = nowMs();
    const total = perSecond * seconds;
    while (this.#askedCount < total) {
      const due = Math.min(total, Math.floor(((nowMs() - startMs) / 1_000) * perSecond));
      while (this.#askedCount < due) {
        this.#due.push(startMs + (this.#askedCount * 1_000) / perSecond);
        this.#askedCount += 1;
      }
      this.#send();
      await pause(1);
    }
    const endMs = nowMs() + LAST_ANSWERS_MS;
    while (this.#doneCount < total && nowMs() < endMs) await pause(5);
    return {
      askedCount: total,
      answeredCount: this.#answeredCount,
      limitedCount: this.#limitedCount,
      p99Ms: this.#latenciesMs.length === 0 ? 0 : quantile(this.#latenciesMs, 0.99),
    };
  }

  #open(): void {
    const socket = connect({ port: this.#task.port, host: "127.0.0.1", noDelay: true });
    socket.on("error", () => {});
    socket.once("connect", () => {
      this.#free.push(socket);
      this.#send();
    });
  }

  #send(): void {
    while (this.#due.length > 0 && this.#free.length > 0) this.#ask(this.#free.pop()!, this.#due.shift()!);
  }

  #ask(socket: Socket, dueAtMs: number): void {
    let text = "";
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      const headEnd = text.indexOf("\r\n\r\n");
      if (headEnd === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < headEnd + 4 + length) return;
      socket.off("data", onData);
      socket.off("close", onClose);
      this.#doneCount += 1;
      if (text.startsWith("HTTP/1.1 200")) {
        this.#answeredCount += 1;
        this.#latenciesMs.push(nowMs() - dueAtMs);
      } else if (text.startsWith("HTTP/1.1 429")) {
        this.#limitedCount += 1;
      }
      this.#free.push(socket);
      this.#send();
    };
    const onClose = (): void => {
      this.#doneCount += 1;
      this.#open();
    };
    socket.on("data", onData);
    socket.once("close", onClose);
    socket.write(this.#request, "latin1");
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

process.once("message", (task: AskerTask) => {
  void new Asker(task).run().then((report) => process.send!(report));
});
