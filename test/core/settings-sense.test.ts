import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { portCountOf } from "../../src/core/port-block.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { contradictionBy, contradictionsIn, dangersBy } from "../../src/core/settings-sense.ts";
import { minimumOf } from "../../src/core/share.ts";
import { poolSettings as anySettings } from "../wire/valid-messages.ts";

function withThese(changes: Partial<PoolSettings>): PoolSettings {
  return { ...DEFAULT_POOL_SETTINGS, ...changes };
}

const plainPool = anySettings.map((settings) => ({ ...settings, staticPortsPerHost: null }));

describe("[ME8] what cannot be", () => {
  test.each<[Partial<PoolSettings>, (keyof PoolSettings)[][]]>([
    [{}, []],
    [{ minPortsPerHost: 32_768 / 2, maxPortsPerHost: 32_768 / 2 }, []],
    [{ minPortsPerHost: 513, maxPortsPerHost: 512 }, [["minPortsPerHost", "maxPortsPerHost"]]],
    [{ firstBlockOrder: 12, maxPortsPerHost: 4_095 }, [["firstBlockOrder", "maxPortsPerHost"]]],
    [{ minHostsPerIp: 126 }, []],
    [{ minHostsPerIp: 127 }, [["minHostsPerIp", "minPortsPerHost"]]],
    [{ minHostsPerIp: 16, firstBlockOrder: 12 }, [["minHostsPerIp", "firstBlockOrder"]]],
    [{ staticPortsPerHost: 4_096, minHostsPerIp: 15, minPortsPerHost: 4_096, maxPortsPerHost: 0 }, []],
    [{ staticPortsPerHost: 4_096, minHostsPerIp: 16 }, [["minHostsPerIp", "staticPortsPerHost"]]],
  ])("%j: %j", (changes, keys) => {
    const found = contradictionsIn(withThese(changes));
    expect(found.map(({ settings }) => settings)).toEqual(keys);
    for (const { settings, text } of found) for (const key of settings) expect(text).toContain(`${key}=`);
  });

  test("[ME8] whatever has no contradiction keeps what it says: the minimum, the first block, and the hosts of an address", () => {
    fc.assert(
      fc.property(plainPool, (settings) => {
        if (contradictionsIn(settings).length > 0) return;
        const { minPortsPerHost, maxPortsPerHost, firstBlockOrder, minHostsPerIp } = settings;
        const least = Math.max(minimumOf(settings), portCountOf(firstBlockOrder));
        expect(minPortsPerHost).toBeLessThanOrEqual(maxPortsPerHost);
        expect(portCountOf(firstBlockOrder)).toBeLessThanOrEqual(maxPortsPerHost);
        expect(minHostsPerIp * least).toBeLessThanOrEqual(64_512);
      }),
    );
  });

  test("[ME8] what is stored stays, and all else of such a pool can be changed", () => {
    fc.assert(
      fc.property(anySettings, fc.nat(86_400_000), (settings, quarantineMs) => {
        expect(contradictionBy(settings, { ...settings, quarantineMs })).toBeNull();
      }),
    );
    const before = withThese({ minPortsPerHost: 1_000, maxPortsPerHost: 500 });
    expect(contradictionBy(before, { ...before, maxPortsPerHost: 600 })).not.toBeNull();
    expect(contradictionBy(before, { ...before, maxPortsPerHost: 1_000 })).toBeNull();
    expect(contradictionBy({ ...before, staticPortsPerHost: 64 }, before)).not.toBeNull();
    expect(contradictionBy(null, before)).not.toBeNull();
  });
});

describe("[ME9] what may be a slip of the pen", () => {
  test.each<[Partial<PoolSettings> | null, Partial<PoolSettings>, (keyof PoolSettings)[]]>([
    [null, {}, []],
    [
      null,
      { quarantineMs: 60_000, leaseDurationMs: 30_000, hostSilenceMs: 5_000, routerSilenceMs: 2_000 },
      [],
    ],
    [{}, { quarantineMs: 59_999 }, ["quarantineMs"]],
    [{ quarantineMs: 1 }, { quarantineMs: 30_000 }, []],
    [{ quarantineMs: 1 }, { quarantineMs: 1, historyDays: 90 }, []],
    [null, { leaseDurationMs: 29_999 }, ["leaseDurationMs"]],
    [{ hostSilenceMs: 100_000 }, { hostSilenceMs: 100_000, leaseDurationMs: 39_999 }, ["leaseDurationMs"]],
    [null, { staticPortsPerHost: 64, leaseDurationMs: 1_000 }, []],
    [{}, { hostSilenceMs: 4_999, routerSilenceMs: 1_999 }, ["hostSilenceMs", "routerSilenceMs"]],
    [{}, { historyDays: 89 }, ["historyDays"]],
    [null, { historyDays: 1 }, []],
  ])("from %j to %j: %j", (before, after, keys) => {
    const dangers = dangersBy(before === null ? null : withThese(before), withThese(after));
    expect(dangers.map(({ setting }) => setting)).toEqual(keys);
    for (const { setting, text } of dangers) expect(text).toContain(`${setting}=${after[setting]}: `);
  });
});
