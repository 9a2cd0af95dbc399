/** The near end of the soak of tunnels: asks for one, by its plan, and sees it to its end. */
import { connect } from "node:net";
import { ORIGIN_IPS } from "./target.ts";
import { isOrderly, type TunnelPlan } from "./tunnel-plan.ts";
import { NAME_LENGTH, type TunnelOrigin } from "./tunnel-origin.ts";
import { TunnelSide } from "./tunnel-side.ts";

/** What a tunnel came to. `wrong` is one that should have been whole, or had foreign bytes. */
export type TunnelFate = "whole" | "cut" | "refused" | "stuck" | "wrong";

/** Where the proxy listens, and a token for it. */
export interface ProxyPlace {
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

/** Connections come from many addresses, since each has but 28,000 ports for one proxy. */
const SOURCES = 64;
const STUCK_MS = 40_000;
/** Nobody listens there. */
const CLOSED_PORT = 9;
const SOCKS_REPLY_LENGTH = 10;

/** Makes one tunnel. */
export function runTunnel(plan: TunnelPlan, proxy: ProxyPlace, origin: TunnelOrigin): Promise<TunnelFate> {
  return new Promise((resolve) => {
    const question = questionOf(plan, proxy, origin);
    const socket = connect({
      port: proxy.port,
      host: proxy.host,
      localAddress: `127.0.1.${1 + (plan.id % SOURCES)}`,
      noDelay: true,
      allowHalfOpen: true,
    });
    let side: TunnelSide | null = null;
    let isRefused = false;
    let read: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => settle("stuck"), STUCK_MS);
    const settle = (fate: TunnelFate): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(fate);
    };
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      if (isRefused) settle("refused");
      else if (side === null) settle(isOrderly(plan) ? "wrong" : "cut");
      else {
        const near = side;
        const far = origin.sides.get(plan.id);
        const end = (): void => settle(judge(plan, near, far));
        // What was written is on its way still.
        if (far === undefined) end();
        else void far.closed.then(end);
      }
    });
    const onEnd = (): void => void socket.end();
    const name = String(plan.id).padStart(NAME_LENGTH, "0");
    const onData = (chunk: Buffer): void => {
      read = Buffer.concat([read, chunk]);
      const answer = readAnswer(plan, read);
      if (answer === "more") return;
      socket.off("data", onData);
      socket.off("end", onEnd);
      if (answer === "refused") {
        isRefused = true;
        socket.resume().end();
        return;
      }
      if (!plan.isEager) socket.write(name);
      side = new TunnelSide(socket, plan.client);
      side.begin(read.subarray(answer));
    };
    socket.on("data", onData);
    socket.once("end", onEnd);
    socket.once("connect", () => {
      if (plan.goneAfterShare === null) {
        socket.write(plan.isEager ? Buffer.concat([question, Buffer.from(name)]) : question);
        return;
      }
      const said = question.subarray(0, Math.round(question.length * plan.goneAfterShare));
      const leave = (): void => {
        if (plan.client.ending === "reset") socket.resetAndDestroy();
        else if (plan.client.ending === "close") socket.destroy();
        else socket.end();
      };
      if (said.length === 0) leave();
      else socket.write(said, leave);
    });
  });
}

function judge(plan: TunnelPlan, near: TunnelSide, far: TunnelSide | undefined): TunnelFate {
  if (near.isWrong || far?.isWrong === true) return "wrong";
  const isWhole =
    near.hasEnd &&
    far?.hasEnd === true &&
    near.receivedBytes === plan.origin.sendBytes &&
    far.receivedBytes === plan.client.sendBytes;
  if (isWhole) return "whole";
  return isOrderly(plan) ? "wrong" : "cut";
}

/** How long the answer is, once it is whole. */
function readAnswer({ way }: TunnelPlan, read: Buffer): number | "more" | "refused" {
  if (way === "connect") {
    const end = read.indexOf("\r\n\r\n");
    if (end === -1) return "more";
    return read.toString("latin1", 0, 12) === "HTTP/1.1 200" ? end + 4 : "refused";
  }
  const beforeReply = way === "socks-login" ? 4 : 2;
  if (read.length < beforeReply + 2) return "more";
  if (read[beforeReply + 1] !== 0) return "refused";
  const end = beforeReply + SOCKS_REPLY_LENGTH;
  return read.length < end ? "more" : end;
}

function questionOf(plan: TunnelPlan, { token }: ProxyPlace, origin: TunnelOrigin): Buffer {
  const { ip, port } = placeOf(plan, origin);
  if (plan.way === "connect") {
    const login = Buffer.from(`session=${plan.id}:${token}`).toString("base64");
    const fields = plan.id % 2 === 0 ? "" : `proxy-authorization: Basic ${login}\r\n`;
    return Buffer.from(`CONNECT ${ip}:${port} HTTP/1.1\r\nhost: ${ip}:${port}\r\n${fields}\r\n`);
  }
  const greeting = plan.way === "socks-login" ? socksLogin(plan.id, token) : Buffer.from([5, 1, 0]);
  const host = Buffer.from(ip);
  const place = plan.id % 2 === 0 ? [1, ...ip.split(".").map(Number)] : [3, host.length, ...host];
  return Buffer.concat([greeting, Buffer.from([5, 1, 0, ...place, port >> 8, port & 0xff])]);
}

/** A token is longer than a password may be, so the user name has its beginning. */
function socksLogin(id: number, token: string): Buffer {
  const split = Math.max(0, token.length - 200);
  const name = Buffer.from(`session=${id},token=${token.slice(0, split)}`);
  const password = Buffer.from(token.slice(split));
  return Buffer.concat([
    Buffer.from([5, 1, 2, 1, name.length]),
    name,
    Buffer.from([password.length]),
    password,
  ]);
}

function placeOf(
  { destination, id }: TunnelPlan,
  { places, resettingPort }: TunnelOrigin,
): { readonly ip: string; readonly port: number } {
  if (destination === "closed") return { ip: ORIGIN_IPS[0], port: CLOSED_PORT };
  if (destination === "resetting") return { ip: ORIGIN_IPS[0], port: resettingPort };
  return places[id % places.length]!;
}
