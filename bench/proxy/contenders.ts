/** Who takes part, and how each is configured: nothing logged, nothing cached, no look at who asks. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** What a proxy may be asked for. */
export type Spoken = "get" | "connect" | "socks5";

/** One that takes part. */
export interface Contender {
  readonly name: string;
  readonly speaks: readonly Spoken[];
  /** The program that must be installed. */
  readonly program: string;
  /** Its arguments; what it reads is written into its directory first. */
  readonly start: (place: { readonly port: number; readonly directory: string }) => {
    readonly args: readonly string[];
    readonly files?: Readonly<Record<string, string>>;
  };
}

/** A figure of ours that is compared with each of the others. */
export const OURS = "ours";

const MAX_CLIENTS = 10_000;

/** Ours comes first, with the flag that the command line gives an agent. With `--processes` there will be one more of ours for each number. */
export const CONTENDERS: readonly Contender[] = [
  node(OURS, ["get", "connect", "socks5"], "ours.ts", ["--expose-gc"]),
  node("naive node:http", ["get", "connect"], "naive-proxy.ts"),
  node("proxy-chain", ["get", "connect"], "proxy-chain-peer.ts"),
  {
    name: "squid",
    speaks: ["get", "connect"],
    program: "squid",
    start: ({ port, directory }) => ({
      args: ["-N", "-f", join(directory, "squid.conf")],
      files: {
        "squid.conf": `
          http_port 127.0.0.1:${port}
          http_access allow all
          cache deny all
          cache_mem 8 MB
          access_log none
          cache_log ${directory}/cache.log
          cache_store_log none
          pid_filename none
          coredump_dir ${directory}
          pinger_enable off
          max_filedescriptors 20000
          shutdown_lifetime 1 seconds
          via off
          forwarded_for delete
        `,
      },
    }),
  },
  {
    name: "tinyproxy",
    speaks: ["get", "connect"],
    program: "tinyproxy",
    start: ({ port, directory }) => ({
      args: ["-d", "-c", join(directory, "tinyproxy.conf")],
      files: {
        "tinyproxy.conf": [
          `Port ${port}`,
          "Listen 127.0.0.1",
          "Timeout 600",
          `LogFile "${directory}/tinyproxy.log"`,
          "LogLevel Critical",
          `MaxClients ${MAX_CLIENTS}`,
          "DisableViaHeader Yes",
          "",
        ].join("\n"),
      },
    }),
  },
  {
    // It forwards requests; it answers no CONNECT of its own.
    name: "haproxy",
    speaks: ["get"],
    program: "haproxy",
    start: ({ port, directory }) => ({
      args: ["-db", "-f", join(directory, "haproxy.cfg")],
      files: {
        "haproxy.cfg": `
          global
            maxconn 8000
          defaults
            mode http
            timeout connect 10s
            timeout client 600s
            timeout server 600s
            http-reuse always
          frontend proxy
            bind 127.0.0.1:${port}
            http-request set-dst url_ip
            http-request set-dst-port url_port
            http-request set-uri %[path]
            default_backend origins
          backend origins
            server asked 0.0.0.0:0
        `,
      },
    }),
  },
  {
    name: "dante",
    speaks: ["socks5"],
    program: "danted",
    start: ({ port, directory }) => ({
      args: ["-f", join(directory, "danted.conf"), "-p", join(directory, "danted.pid")],
      files: {
        "danted.conf": `
          errorlog: ${directory}/danted.log
          internal: 127.0.0.1 port = ${port}
          external: 127.0.0.1
          clientmethod: none
          socksmethod: none
          user.privileged: root
          user.unprivileged: nobody
          client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
          socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }
        `,
      },
    }),
  },
  {
    name: "microsocks",
    speaks: ["socks5"],
    program: "microsocks",
    start: ({ port }) => ({ args: ["-i", "127.0.0.1", "-p", String(port)] }),
  },
  {
    name: "3proxy",
    speaks: ["get", "connect", "socks5"],
    program: "3proxy",
    start: ({ port, directory }) => ({
      args: [join(directory, "3proxy.cfg")],
      files: { "3proxy.cfg": `maxconn ${MAX_CLIENTS}\nauto -i127.0.0.1 -p${port}\n` },
    }),
  },
];

/** Whether this machine has the program. */
export function isInstalled({ program }: Contender): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function node(
  name: string,
  speaks: readonly Spoken[],
  file: string,
  flags: readonly string[] = [],
): Contender {
  return {
    name,
    speaks,
    program: process.execPath,
    start: ({ port, directory }) => ({
      args: [...flags, join(import.meta.dirname, file), String(port), directory],
    }),
  };
}
