/**
 * `/dashboard`: the page, as it was built. There is no data in it, so anybody may have it; what it shows it gets
 * with a session. [DA1]
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { EdgeContext } from "../identity/authenticate.ts";
import { problem } from "../runtime/problem.ts";

/** What is not in here is no file of the page. */
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  png: "image/png",
  ico: "image/x-icon",
  woff2: "font/woff2",
};
/** What is packed already. */
const PACKED: ReadonlySet<string> = new Set(["png", "woff2"]);

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

const COMMON: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};
const OF_SHELL: Readonly<Record<string, string>> = {
  ...COMMON,
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store",
};
/** Its name changes with what is in it. */
const UNCHANGING = "public, max-age=31536000, immutable";

/** Serves the page. */
export function serveDashboardPage(app: OpenAPIHono<EdgeContext>): void {
  app.get("/dashboard", async (context) => fileOf(context, "index.html", OF_SHELL));
  app.get("/dashboard/", async (context) => fileOf(context, "index.html", OF_SHELL));
  app.get("/dashboard/assets/:file{[A-Za-z0-9_-][A-Za-z0-9._-]*}", async (context) => {
    const file = context.req.param("file");
    const extension = file.slice(file.lastIndexOf(".") + 1);
    if (!Object.hasOwn(CONTENT_TYPES, extension)) return problem({ code: "dashboard-missing", detail: file });
    return fileOf(
      context,
      `assets/${file}`,
      { ...COMMON, "content-type": CONTENT_TYPES[extension]!, "cache-control": UNCHANGING },
      !PACKED.has(extension),
    );
  });
}

async function fileOf(
  { env, req }: Context<EdgeContext>,
  path: string,
  headers: Readonly<Record<string, string>>,
  isPackable = true,
): Promise<Response> {
  const { DASHBOARD } = env;
  const file = await DASHBOARD?.fetch(`http://dashboard/${path}`);
  if (file?.status !== 200) {
    await file?.body?.cancel();
    return problem({ code: "dashboard-missing", detail: path });
  }
  // By this word the runtime packs what goes out. Who is in between packs it anew if it likes.
  const isPacked = isPackable && /\bgzip\b/.test(req.header("accept-encoding") ?? "");
  const packing: Record<string, string> = isPacked ? { "content-encoding": "gzip" } : {};
  return new Response(file.body, { headers: { ...headers, ...packing, vary: "accept-encoding" } });
}
