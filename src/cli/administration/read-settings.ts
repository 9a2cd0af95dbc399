/** Settings of a pool from words such as `quarantineMs=60s`. */
import { settingsSchema } from "../../api/schemas.ts";
import type { PoolSettings } from "../../core/pool-settings.ts";
import { optionInvalid, readDuration } from "../../process/command-options.ts";
import { didYouMean } from "../../process/nearest.ts";

const KEYS = Object.keys(settingsSchema.shape);
const LONGEST_MS = 86_400_000;

/** Reads them; throws `option-invalid`, with the setting that is meant. */
export function readSettings(words: readonly string[]): Partial<PoolSettings> {
  const given = words.map((word) => {
    const [, key, text] = /^(\w+)=(.*)$/.exec(word) ?? [];
    if (key === undefined || text === undefined)
      throw optionInvalid(`--set ${word} is not of the form setting=value, such as quarantineMs=120s.`);
    if (!KEYS.includes(key))
      throw optionInvalid(
        `There is no setting ${key}.${didYouMean(key, KEYS) || ` There are: ${KEYS.join(", ")}.`}`,
      );
    return [key, valueOf(key, text)] as const;
  });
  const read = settingsSchema.partial().safeParse(Object.fromEntries(given));
  if (read.success) return read.data as Partial<PoolSettings>;
  const [issue] = read.error.issues;
  throw optionInvalid(`--set ${issue!.path.join(".")}: ${issue!.message}.`);
}

function valueOf(key: string, text: string): unknown {
  if (key.endsWith("Ms") && /[a-z]$/.test(text))
    return readDuration(`--set ${key}`, text, { leastMs: 0, mostMs: LONGEST_MS });
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
