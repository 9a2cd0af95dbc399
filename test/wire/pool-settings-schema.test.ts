/** Settings as JSON, and the names of our headers. */
import { describe, expect, test } from "vitest";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { HOP_BY_HOP, isOwnHeader } from "../../src/wire/header-names.ts";
import { poolSettingsSchema } from "../../src/wire/pool-settings-schema.ts";

describe("settings", () => {
  test("[ME4] have defaults that are valid and as the rules name them", () => {
    expect(poolSettingsSchema.parse(DEFAULT_POOL_SETTINGS)).toEqual({
      leaseDurationMs: 600_000,
      quarantineMs: 120_000,
      firstBlockOrder: 8,
      minPortsPerHost: 512,
      maxPortsPerHost: 32_768,
      staticPortsPerHost: null,
      hostSilenceMs: 50_000,
      steeringDeadlineMs: 2000,
      routerSilenceMs: 5000,
      minHostsPerIp: 3,
      published: false,
      historyDays: 90,
    });
  });

  test.each([
    ["leaseDurationMs", 999],
    ["leaseDurationMs", 86_400_001],
    ["quarantineMs", -1],
    ["quarantineMs", 0.5],
    ["firstBlockOrder", 5],
    ["firstBlockOrder", 13],
    ["minPortsPerHost", 64_513],
    ["maxPortsPerHost", -1],
    ["staticPortsPerHost", 32],
    ["staticPortsPerHost", 2_000],
    ["staticPortsPerHost", 8_192],
    ["hostSilenceMs", 499],
    ["steeringDeadlineMs", -1],
    ["steeringDeadlineMs", 60_001],
    ["minHostsPerIp", 0],
    ["minHostsPerIp", 1_009],
    ["published", 1],
    ["historyDays", 0],
    ["historyDays", 3_651],
    ["unheardOf", 1],
  ])("[ME4] with %s = %d are refused", (key, value) => {
    expect(poolSettingsSchema.safeParse({ ...DEFAULT_POOL_SETTINGS, [key]: value }).success).toBe(false);
  });
});

describe("header names", () => {
  test("[ER3] ours begin with egress, and nothing else is ours", () => {
    for (const name of ["egress", "egress-ip", "egress-authorization", "egress-x"]) {
      expect(isOwnHeader(name)).toBe(true);
    }
    for (const name of ["egresses", "authorization", "x-egress", "proxy-status"]) {
      expect(isOwnHeader(name)).toBe(false);
    }
  });

  test("[ER3] connection-specific fields are known by their names", () => {
    for (const name of ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]) {
      expect(HOP_BY_HOP.has(name)).toBe(true);
    }
    expect(HOP_BY_HOP.has("content-length")).toBe(false);
  });
});
