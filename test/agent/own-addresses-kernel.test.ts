/** How the kernel is asked for the machine's own addresses, and what its faults come to: with a kernel of the test's own. */
import { createSocket } from "node:dgram";
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { OwnAddresses } from "../../src/agent/egress/own-addresses.ts";

vi.mock("node:dgram", () => ({ createSocket: vi.fn<(options: SocketOptions) => AskingSocket>() }));

interface SocketOptions {
  readonly type: string;
  readonly ipv6Only?: boolean;
}

/** A machine that has 192.0.2.1 and 2001:db8::1, and no way to 203.0.113.0/24. */
class AskingSocket extends EventEmitter {
  readonly options: SocketOptions;
  readonly asked: string[] = [];
  isClosed = false;
  isUnref = false;
  #connectedTo: string | null = null;

  constructor(options: SocketOptions) {
    super();
    this.options = options;
  }

  connect(port: number, ip: string, onConnect: (fault?: Error) => void): void {
    if (this.#connectedTo !== null) throw new Error("ERR_SOCKET_DGRAM_IS_CONNECTED");
    this.asked.push(`${ip} ${port}`);
    if (isSilent) return;
    queueMicrotask(() => {
      if (fault !== null) this.emit("error", fault);
      else if (ip.startsWith("203.0.113.")) onConnect(new Error("ENETUNREACH"));
      else {
        this.#connectedTo = ip;
        onConnect();
      }
    });
  }

  address(): { readonly address: string } {
    return { address: this.#connectedTo!.includes(":") ? "2001:db8::1" : "192.0.2.1" };
  }

  disconnect(): void {
    this.#connectedTo = null;
  }

  close(): void {
    if (this.isClosed) throw new Error("ERR_SOCKET_DGRAM_NOT_RUNNING");
    this.isClosed = true;
    this.emit("close");
  }

  unref(): void {
    this.isUnref = true;
  }
}

let own: OwnAddresses;
let sockets: AskingSocket[];
/** What a socket ends with instead of an answer. */
let fault: (Error & { code: string }) | null;
let isSilent: boolean;

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  fault = null;
  isSilent = false;
  vi.mocked(createSocket as unknown as (options: SocketOptions) => AskingSocket).mockImplementation(
    (options) => {
      const socket = new AskingSocket(options);
      sockets.push(socket);
      return socket;
    },
  );
  own = new OwnAddresses();
});
afterEach(() => {
  own.close();
  vi.useRealTimers();
});

const asked = (): string[] => sockets.flatMap((socket) => socket.asked);
const faultOf = (code: string): Error & { code: string } => Object.assign(new Error(code), { code });

it("[DE6] what the kernel would send from itself is its own, what it has no way to is not", async () => {
  const answers = await Promise.all(
    ["192.0.2.1", "192.0.2.2", "203.0.113.1", "2001:db8::1", "2001:db8::2"].map(async (ip) => own.isOwn(ip)),
  );
  expect(answers).toEqual([true, false, false, true, false]);
  // No answer is one too, and is kept.
  expect(own.isOwn("203.0.113.1")).toBe(false);
});

it("[DE6] one socket for each family asks all questions, and is in nobody's way", async () => {
  const ips = Array.from({ length: 100 }, (_, at) => (at % 2 === 0 ? `8.8.8.${at}` : `2a00::${at}`));
  await Promise.all(ips.map(async (ip) => own.isOwn(ip)));
  expect(sockets.map(({ options }) => options)).toEqual([{ type: "udp4" }, { type: "udp6", ipv6Only: true }]);
  expect(asked().toSorted()).toEqual(ips.map((ip) => `${ip} 9`).toSorted());
  for (const socket of sockets) {
    expect(socket.isUnref).toBe(true);
    // One that hears of errors which nobody asked about, and none for each question.
    expect([socket.listenerCount("error"), socket.listenerCount("close")]).toEqual([1, 0]);
  }
});

it("[DE6] a socket is closed a second after the last question, and another asks the next", async () => {
  await own.isOwn("8.8.8.1");
  vi.advanceTimersByTime(999);
  await own.isOwn("8.8.8.2");
  vi.advanceTimersByTime(999);
  expect(sockets.map(({ isClosed }) => isClosed)).toEqual([false]);
  vi.advanceTimersByTime(1);
  expect(sockets.map(({ isClosed }) => isClosed)).toEqual([true]);
  expect(await own.isOwn("192.0.2.1")).toBe(true);
  expect(sockets).toHaveLength(2);
  own.close();
  expect(sockets.map(({ isClosed }) => isClosed)).toEqual([true, true]);
  expect(vi.getTimerCount()).toBe(0);
  expect(() => own.close()).not.toThrow();
});

it("[DE6] an answer is good for a second of the machine's clock", async () => {
  await own.isOwn("192.0.2.1");
  vi.advanceTimersByTime(999);
  expect(own.isOwn("192.0.2.1")).toBe(true);
  vi.advanceTimersByTime(1);
  expect(await own.isOwn("192.0.2.1")).toBe(true);
  expect(asked()).toHaveLength(2);
});

it("[DE6] where the kernel cannot be asked there is no answer, and none is remembered", async () => {
  fault = faultOf("EMFILE");
  for (const ip of ["192.0.2.1", "8.8.8.8"]) {
    await expect(own.isOwn(ip)).rejects.toMatchObject({ code: "EMFILE" });
  }
  // What could not be bound is of no more use.
  expect(sockets.map(({ isClosed }) => isClosed)).toEqual([true, true]);
  fault = null;
  expect(await own.isOwn("192.0.2.1")).toBe(true);
  expect(await own.isOwn("8.8.8.8")).toBe(false);
});

it("[DE6] a question that fails takes no other's answer", async () => {
  fault = faultOf("EMFILE");
  const first = Promise.resolve(own.isOwn("8.8.8.8")).catch(() => (fault = null));
  const second = own.isOwn("192.0.2.1");
  expect(await first).toBeNull();
  expect(await second).toBe(true);
});

it("[DE6] of a family that the kernel does not know no address is its own", async () => {
  fault = faultOf("EAFNOSUPPORT");
  expect(await own.isOwn("2001:db8::1")).toBe(false);
  expect(own.isOwn("2001:db8::1")).toBe(false);
});

it("[DE6] closed while the kernel is asked, there is no answer", async () => {
  isSilent = true;
  const given = Promise.resolve(own.isOwn("192.0.2.1"));
  const next = Promise.resolve(own.isOwn("192.0.2.1"));
  await vi.advanceTimersByTimeAsync(0);
  isSilent = false;
  own.close();
  await expect(given).rejects.toThrow("The socket for asking was closed.");
  expect(await next).toBe(true);
});

it("[DE6] an error that comes between questions harms nobody", async () => {
  await own.isOwn("8.8.8.8");
  expect(() => sockets[0]!.emit("error", faultOf("ECONNREFUSED"))).not.toThrow();
  expect(await own.isOwn("192.0.2.1")).toBe(true);
});

it("[DE6] so many answers are kept and no more", async () => {
  for (let at = 0; at < 4_096; at += 1) await own.isOwn(`10.0.${at >> 8}.${at & 255}`);
  expect(own.isOwn("10.0.0.0")).toBe(false);
  expect(own.isOwn("10.0.15.255")).toBe(false);
  await own.isOwn("192.0.2.1");
  expect(own.isOwn("10.0.0.0")).toBeInstanceOf(Promise);
  expect(own.isOwn("192.0.2.1")).toBe(true);
});
