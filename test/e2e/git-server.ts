/** Git repositories by HTTP, as git's own CGI program serves them. */
import { spawn } from "node:child_process";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** Serves all repositories below a directory, for reading and writing. */
export function gitServer(root: string): Server {
  return createServer((request, response) => serve(root, request, response));
}

function serve(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://git");
  const { headers, method = "GET" } = request;
  const child = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: method,
      CONTENT_TYPE: headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(headers["git-protocol"] ?? ""),
      REMOTE_USER: "anybody",
    },
  });
  // It need not read all of what it is sent.
  child.stdin.on("error", () => {});
  request.pipe(child.stdin);
  let head: Buffer | null = Buffer.alloc(0);
  child.stdout.on("data", (piece: Buffer) => {
    if (head === null) {
      response.write(piece);
      return;
    }
    head = Buffer.concat([head, piece]);
    const endAt = head.indexOf("\r\n\r\n");
    if (endAt === -1) return;
    for (const line of head.toString("latin1", 0, endAt).split("\r\n")) {
      const [name = "", value = ""] = line.split(/: (.*)/s);
      if (name.toLowerCase() === "status") response.statusCode = Number(value.slice(0, 3));
      else response.setHeader(name, value);
    }
    response.write(head.subarray(endAt + 4));
    head = null;
  });
  child.stdout.once("end", () => response.end());
}
