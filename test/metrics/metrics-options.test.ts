import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { MetricsListener } from "../../src/metrics/node/metrics-listener.ts";
import { readMetrics } from "../../src/metrics/node/metrics-options.ts";

const log = pino({ level: "silent" });

test("[MT3] without --metrics there are none; on this machine no token is needed", () => {
  expect(readMetrics({}, false)).toBeNull();
  for (const [text, host] of [
    ["127.0.0.1:9464", "127.0.0.1"],
    ["[::1]:9464", "::1"],
    ["localhost:9464", "localhost"],
  ] as const) {
    expect(readMetrics({ metrics: text }, false)).toEqual({ host, port: 9464, tokenFile: null });
  }
});

test("[MT3] beyond this machine it takes a token, and leave for plain HTTP", () => {
  const metrics = "10.0.0.1:9464";
  const metricsTokenFile = "token";
  expect(() => readMetrics({ metrics }, true)).toThrow("would tell strangers about this host");
  expect(() => readMetrics({ metrics, metricsTokenFile }, false)).toThrow(
    "would take its token over plain HTTP",
  );
  expect(readMetrics({ metrics, metricsTokenFile }, true)).toEqual({
    host: "10.0.0.1",
    port: 9464,
    tokenFile: "token",
  });
  expect(() => readMetrics({ metricsTokenFile }, true)).toThrow("is given with --metrics");
  expect(() => readMetrics({ metrics: "9464" }, true)).toThrow("is not of the form host:port");
});

test("[MT3] a file that holds no proper token is named at the start", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-metrics-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const tokenFile = join(directory, "token");
  const open = (): Promise<MetricsListener> => {
    const place = { host: "127.0.0.1", port: 0, tokenFile };
    return MetricsListener.open({ place, text: () => Promise.resolve(""), log });
  };
  await expect(open()).rejects.toMatchObject({ code: "token-unreadable" });
  await writeFile(tokenFile, "short\n");
  await expect(open()).rejects.toMatchObject({ code: "token-unreadable" });
  await writeFile(tokenFile, "long enough, but of words\n");
  await expect(open()).rejects.toMatchObject({ code: "token-unreadable" });
});

test("[MT3] a place that is taken is named; a scrape that fails is that one's end alone", async () => {
  let failures = 1;
  const text = (): Promise<string> => {
    failures -= 1;
    return failures >= 0 ? Promise.reject(new Error("the kernel is busy")) : Promise.resolve("told\n");
  };
  const listener = await MetricsListener.open({
    place: { host: "127.0.0.1", port: 0, tokenFile: null },
    text,
    log,
  });
  onTestFinished(() => listener.close());
  const place = { host: "127.0.0.1", port: listener.port, tokenFile: null };
  await expect(MetricsListener.open({ place, text, log })).rejects.toMatchObject({ code: "listen-failed" });
  const url = `http://127.0.0.1:${listener.port}/metrics`;
  const failed = await fetch(url);
  expect([failed.status, ((await failed.json()) as { code: string }).code]).toEqual([500, "internal-fault"]);
  expect(await (await fetch(url)).text()).toBe("told\n");
  expect((await fetch(url, { method: "POST" })).status).toBe(405);
  const head = await fetch(url, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, "5"]);
});
