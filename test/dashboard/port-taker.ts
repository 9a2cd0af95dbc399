/** A host that is nothing but a connection to an address: it takes a block of ports, and gives it back. */
import { once } from "node:events";
import { WebSocket } from "ws";
import { type LeaseReply, type LeaseRequest, PROTOCOL_VERSION } from "../../src/core/messages.ts";

/** One that has joined. */
export class PortTaker {
  readonly #socket: WebSocket;
  readonly #replies: LeaseReply[] = [];
  #requestCount = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      this.#replies.push(JSON.parse(data.toString("utf8")) as LeaseReply);
      socket.emit("reply");
    });
  }

  static async join(edge: string, ip: string, token: string): Promise<PortTaker> {
    const url = new URL(`/v1/ips/${encodeURIComponent(ip)}/connect`, edge);
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
    const made = new PortTaker(socket);
    await once(socket, "open");
    const joined = await made.#ask((requestId) => ({
      type: "join",
      requestId,
      version: PROTOCOL_VERSION,
      instance: "the-taker-of-ports",
    }));
    if (joined.type !== "answer") throw new Error(JSON.stringify(joined));
    return made;
  }

  /** A block of 2^`order` ports. */
  async take(order: number): Promise<{ readonly base: number; readonly epoch: number }> {
    const reply = await this.#ask((requestId) => ({ type: "acquire", requestId, order }));
    if (reply.type !== "answer") throw new Error(JSON.stringify(reply));
    return reply.leases.at(-1)!;
  }

  async giveBack({ base, epoch }: { readonly base: number; readonly epoch: number }): Promise<void> {
    await this.#ask((requestId) => ({ type: "release", requestId, base, epoch }));
  }

  close(): void {
    this.#socket.terminate();
  }

  async #ask(question: (requestId: string) => LeaseRequest): Promise<LeaseReply> {
    this.#requestCount += 1;
    const requestId = `${this.#requestCount}`;
    this.#socket.send(JSON.stringify(question(requestId)));
    for (;;) {
      const reply = this.#replies.find((each) => "requestId" in each && each.requestId === requestId);
      if (reply !== undefined) return reply;
      await once(this.#socket, "reply");
    }
  }
}
