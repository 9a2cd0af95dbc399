/**
 * The programs of others that the tests of proxies and metrics run, and which of them this machine lacks. What
 * lacks something is left out and said by name, with what it lacks; where everything can be had, as in
 * continuous integration (`CLIENTS_REQUIRED=1`), that is a failure.
 */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Debian's, which its packages of modules are for. */
export const PYTHON = "/usr/bin/python3";
/** Not in everybody's path. */
export const SSHD = "/usr/sbin/sshd";

const MODULES = "/usr/lib/python3/dist-packages";
/** By file of tests: programs, or files where they are for sure. */
const NEEDS = {
  "proxy-clients-curl": ["curl"],
  "proxy-clients-python": [PYTHON, `${MODULES}/requests`, `${MODULES}/socks.py`],
  "socks-udp": [PYTHON, `${MODULES}/socks.py`, `${MODULES}/dns`],
  "proxy-clients-tools": [
    "curl",
    "git",
    "apt-get",
    "apt-ftparchive",
    "dpkg-deb",
    "ssh",
    "ssh-keygen",
    SSHD,
    "nc.openbsd",
    "ncat",
  ],
  dashboard: ["chromium"],
  "dashboard-views": ["chromium"],
  "proxy-clients-chromium": ["chromium"],
  metrics: ["promtool"],
  "sdk-platforms": ["chromium"],
  "deploy-systemd": ["systemd-analyze"],
} as const;

/** A file of tests that cannot run here. */
export interface LackingTests {
  readonly name: string;
  readonly reason: string;
}

/** Where a program is, by the path of programs; null if it is not here. */
export function pathOf(program: string): string | null {
  if (program.startsWith("/")) return existsSync(program) ? program : null;
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  const found = directories.map((directory) => join(directory, program)).find((path) => existsSync(path));
  return found ?? null;
}

/** The files of tests that cannot run here. */
export function lackingTests(): LackingTests[] {
  return Object.entries(NEEDS).flatMap(([name, needs]) => {
    const missing = needs.filter((need) => pathOf(need) === null);
    return missing.length === 0 ? [] : [{ name, reason: `it needs ${missing.join(", ")}, not here` }];
  });
}
