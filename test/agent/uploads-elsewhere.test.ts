/** An upload that came to one data process, and whose sender asks at another. */
import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { Uploads } from "../../src/agent/traffic/clients/uploads.ts";
import type { Identity } from "../../src/core/identity.ts";
import { ok } from "../../src/core/outcome.ts";
import { Flow } from "../../src/process/flow.ts";

const SENDER: Identity = { role: "client", subject: "edge", pools: ["default"], expiresAtMs: Infinity };
const NAME = "a-name-of-an-upload";

class Response extends EventEmitter {
  status: string | null = null;
  headersSent = false;
  destroyed = false;

  writeHead(_code: number, headers: Record<string, string>): void {
    this.headersSent = true;
    this.status = headers["egress-upload"] ?? null;
  }

  end(): void {
    this.emit("close");
  }
}

/** Two processes, each of which hears what the other says. */
function two(): [Uploads, Uploads] {
  const pair: [Uploads, Uploads] = [new Uploads(), new Uploads()];
  for (const [at, uploads] of pair.entries()) {
    const other = pair[1 - at]!;
    uploads.elsewhere = {
      asked: (key) => other.askedElsewhere(key),
      left: (key) => other.leftElsewhere(key),
      told: (key, status) => other.toldElsewhere(key, status),
    };
  }
  return pair;
}

function announce(uploads: Uploads, response = new Response()) {
  return { response, upload: uploads.announce(NAME, ok(SENDER), response as unknown as ServerResponse)! };
}

function ask(uploads: Uploads): Response {
  const response = new Response();
  const flow = new Flow((fault) => {
    throw fault;
  });
  uploads.answer(NAME, SENDER, response as unknown as ServerResponse, flow);
  return response;
}

test("[MP7] [GW24] an upload is found in another process, whichever of its two requests came first", () => {
  const [one, other] = two();
  const early = ask(one);
  const { upload, response } = announce(other);
  expect(early.status).toBe(null);
  upload.ready();
  expect(early.status).toBe("ready");
  expect(ask(one).status).toBe("ready");
  expect(ask(other).status).toBe("ready");
  response.end();
  const second = announce(one);
  const late = ask(other);
  second.response.end();
  expect(late.status).toBe("ended");
});

test("[MP7] [GW24] who asks and goes away is forgotten in every process", () => {
  const [one, other] = two();
  const left = ask(one);
  left.emit("close");
  const { upload } = announce(other);
  upload.ready();
  expect(left.status).toBe(null);
  // What was told to nobody is told to whoever asks next.
  expect(ask(one).status).toBe("ready");
});
