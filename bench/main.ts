/**
 * `npm run bench -- NAME [--json]`: one file per question, each against its peer in one run.
 *
 * These machines are noisy, so nothing is judged by an absolute time: ours and the peer's
 * are measured in turn, and the ratio of their medians is what counts.
 */
import { measureBind } from "./bind.ts";
import { measureChecks } from "./checks.ts";
import { measureDashboard } from "./dashboard.ts";
import { measureEdge } from "./edge.ts";
import { measureElastic } from "./elastic.ts";
import { measureGuard } from "./guard.ts";
import { measureLease } from "./lease.ts";
import { measurePolicy } from "./policy.ts";
import { measureProxy } from "./proxy.ts";
import { printTable, type Row } from "./report.ts";
import { measureSnat } from "./snat.ts";
import { measureSteering } from "./steering.ts";
import { measureTenants } from "./tenants.ts";

const BENCHES: Readonly<Record<string, () => Promise<Row[]>>> = {
  bind: measureBind,
  checks: measureChecks,
  dashboard: measureDashboard,
  edge: measureEdge,
  elastic: measureElastic,
  guard: measureGuard,
  lease: measureLease,
  policy: measurePolicy,
  proxy: measureProxy,
  snat: measureSnat,
  steering: measureSteering,
  tenants: measureTenants,
};

const words = process.argv.slice(2);
const name = words.find((word) => !word.startsWith("--")) ?? "";
const bench = BENCHES[name];
if (bench === undefined) {
  console.error(
    `usage: npm run bench -- NAME [--json], with NAME one of: ${Object.keys(BENCHES).join(", ")}`,
  );
  process.exit(2);
}
const rows = await bench();
printTable(name, rows);
if (words.includes("--json")) console.log(JSON.stringify({ bench: name, rows }));
process.exit(0);
