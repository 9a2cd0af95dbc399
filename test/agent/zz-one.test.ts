import { randomInt } from "node:crypto";
import { expect, test } from "vitest";
import { runHttpCorpus, runSocksCorpus } from "../fuzz/proxy-corpus.ts";
import { startRecordingOrigin } from "../fuzz/recording-origin.ts";
import { startProxyRig } from "./proxy-rig.ts";
test("many", { timeout: 3600_000 }, async () => {
  const rig = await startProxyRig();
  const origin = await startRecordingOrigin("127.0.0.21");
  const proxy = { host: "127.0.0.1", port: rig.proxyPort, counts: async () => new Map(rig.counts) };
  const token = await rig.tokenFor("client");
  const all: string[] = [];
  const end = performance.now() + 420_000;
  let cases = 0;
  while (performance.now() < end) {
    const seed = randomInt(2 ** 31);
    const { findings, caseCount } = await runHttpCorpus(proxy, origin, seed, 800);
    const s = await runSocksCorpus(proxy, origin, token, seed, 300);
    cases += caseCount + s.caseCount;
    for (const f of [...findings, ...s.findings]) { all.push(f); console.log(seed, f); }
  }
  console.log("cases", cases);
  origin.close(); await rig.close();
  expect(all).toEqual([]);
});
