/** The near end of the reset fuzz: a client that writes by hand, and ends by its plan. */
import { connect } from "node:net";
import { endBy, type ResetOrigin } from "./reset-origin.ts";
import type { ResetPlan } from "./reset-plan.ts";
import { ORIGIN_IPS, RESPONSE_TIMEOUT_MS, SECURE_NAME } from "./target.ts";

/** What a connection came to. */
export type Fate = "answered" | "ended" | "stuck";

/** Connections come from many addresses, since each has but 28,000 ports for one gateway. */
const SOURCES = 64;
/** What takes longer than a host waits for an origin, twice for a redirect, has been forgotten. */
const STUCK_MS = RESPONSE_TIMEOUT_MS * 2 + 6_000;
const FILLING = Buffer.alloc(400_000, "upload ");

/** Makes one connection to a gateway and sees it to its end. */
export function runPlan(
  plan: ResetPlan,
  gatewayPort: number,
  token: string,
  origin: ResetOrigin,
): Promise<Fate> {
  return new Promise((resolve) => {
    const bytes = requestBytes(plan, token, origin);
    const socket = connect({
      port: gatewayPort,
      host: "127.0.0.1",
      localAddress: `127.0.1.${1 + (plan.id % SOURCES)}`,
      noDelay: true,
      allowHalfOpen: plan.ending === "half-close",
    });
    let receivedCount = 0;
    let hasAnswer = false;
    const settle = (fate: Fate): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(fate);
    };
    const timer = setTimeout(() => settle("stuck"), STUCK_MS);
    socket.on("error", () => settle("ended"));
    socket.on("close", () => settle(hasAnswer ? "answered" : "ended"));
    socket.on("end", () => {
      if (socket.writable) socket.end();
    });
    const end = (): void => {
      if (plan.who === "client") endBy(socket, plan.ending);
    };
    const cut = plan.who === "client" ? Math.min(plan.afterByteCount, bytes.length) : bytes.length;
    const isWhole = cut === bytes.length;
    socket.on("data", (chunk) => {
      receivedCount += chunk.length;
      hasAnswer = true;
      if (plan.who === "client") {
        if (isWhole && receivedCount > plan.afterByteCount - bytes.length) end();
      } else if (isOver(plan, chunk)) {
        socket.end();
      }
    });
    socket.once("connect", () => {
      if (cut > 0) socket.write(bytes.subarray(0, cut));
      if (plan.who !== "client") return;
      if (!isWhole) end();
      else setTimeout(end, plan.afterMs);
    });
  });
}

/** Whether the client has what it came for, roughly: it then goes, as clients of one request do. */
function isOver(plan: ResetPlan, chunk: Buffer): boolean {
  if (plan.path === "websocket") return chunk.length > 0;
  return chunk.subarray(-5).toString("latin1") === "0\r\n\r\n" || chunk.includes("content-length: 0");
}

function requestBytes(plan: ResetPlan, token: string, origin: ResetOrigin): Buffer {
  const { id, path, bodyLength } = plan;
  if (path === "connect") return Buffer.from("CONNECT a.example:1 HTTP/1.1\r\nhost: a.example:1\r\n\r\n");
  if (path === "status")
    return Buffer.from("GET /v1/status HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
  const fields = ["host: gateway", `egress-authorization: Bearer ${token}`];
  let body = FILLING.subarray(0, 0);
  let method = "GET";
  if (path === "upload" || path === "chunked-upload") {
    method = "POST";
    body = FILLING.subarray(0, bodyLength);
  }
  if (path === "upload") fields.push(`content-length: ${body.length}`);
  if (path === "chunked-upload") {
    fields.push("transfer-encoding: chunked");
    const chunk = body.length === 0 ? "" : `${body.length.toString(16)}\r\n${body.toString("latin1")}\r\n`;
    body = Buffer.from(`${chunk}0\r\n\r\n`);
  }
  if (path === "redirect") fields.push("egress-redirect: follow");
  if (path === "websocket") {
    fields.push("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13");
    fields.push("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==");
    const text = Buffer.from([0x81, 0x85, 0, 0, 0, 0, 0x68, 0x65, 0x6c, 0x6c, 0x6f]);
    body = id % 2 === 0 ? text : body;
  }
  // Kept alive, unless the plan is the origin's: then the end of the answer is seen by the end.
  if (plan.who === "origin" && path !== "websocket") fields.push("connection: close");
  const target = `/v1/fetch?url=${encodeURIComponent(destinationOf(plan, origin))}`;
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`), body]);
}

function destinationOf({ path, id }: ResetPlan, origin: ResetOrigin): string {
  if (path === "tls") return `https://${SECURE_NAME}:${origin.securePort}/${id}`;
  if (path === "h2") return `https://${SECURE_NAME}:${origin.h2Port}/${id}`;
  if (path === "refused-accept") return `http://${ORIGIN_IPS[0]}:${origin.closedPort}/${id}`;
  return `http://${ORIGIN_IPS[0]}:${origin.plainPort}/${id}`;
}
