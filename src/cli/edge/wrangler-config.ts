/**
 * Reads `wrangler.toml`, the one place that names the edge's bindings and classes. Whatever
 * it says that the self-hosted edge would not honour is refused, not dropped. [CI4]
 */
import { parse } from "smol-toml";
import { z } from "zod";
import { CommandFault } from "../../process/command-fault.ts";

const identifier = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/);

const schema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/),
  main: z.string().min(1),
  compatibility_date: z.string().regex(/^\d{4}-\d{2}-\d{2}$/),
  compatibility_flags: z.array(z.string()).default([]),
  // The Worker answers for every path, so nothing is served that it has not seen.
  assets: z.strictObject({
    directory: z.string().min(1),
    binding: identifier,
    run_worker_first: z.literal(true),
    html_handling: z.literal("none"),
    not_found_handling: z.literal("none"),
  }),
  // What builds those files on the way to Cloudflare; here they are built at the start.
  build: z.unknown().optional(),
  durable_objects: z.strictObject({
    bindings: z.array(z.strictObject({ name: identifier, class_name: identifier })),
  }),
  migrations: z.array(z.strictObject({ tag: z.string(), new_sqlite_classes: z.array(identifier) })),
  vars: z.record(identifier, z.string()).default({}),
  secrets: z.strictObject({ required: z.array(identifier) }).default({ required: [] }),
  // Cloudflare's observability settings have no meaning on this machine, which has `/metrics` instead.
  observability: z.unknown().optional(),
  analytics_engine_datasets: z.unknown().optional(),
});

/** What the edge is made of. */
export interface EdgeDeclaration {
  readonly name: string;
  /** Entry module, relative to the file. */
  readonly main: string;
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** Binding names and the Durable Object classes behind them; all of them store in SQLite. */
  readonly objects: readonly { readonly binding: string; readonly className: string }[];
  /** The files that the Worker serves: by which binding, and in which directory, relative to the file. */
  readonly assets: { readonly binding: string; readonly directory: string };
  readonly vars: Readonly<Record<string, string>>;
  readonly secretNames: readonly string[];
}

/** Reads the text of a `wrangler.toml`; throws `edge-config-invalid`. */
export function parseWranglerConfig(text: string): EdgeDeclaration {
  let toml: unknown;
  try {
    toml = parse(text);
  } catch (fault) {
    throw new CommandFault("edge-config-invalid", `wrangler.toml is not TOML: ${String(fault)}`);
  }
  const parsed = schema.safeParse(toml);
  if (!parsed.success) {
    throw new CommandFault("edge-config-invalid", `wrangler.toml: ${z.prettifyError(parsed.error)}`);
  }
  const config = parsed.data;
  const stored = new Set(config.migrations.flatMap((migration) => migration.new_sqlite_classes));
  for (const { class_name } of config.durable_objects.bindings) {
    if (!stored.has(class_name)) {
      throw new CommandFault("edge-config-invalid", `wrangler.toml: no migration makes ${class_name}.`);
    }
  }
  return {
    name: config.name,
    main: config.main,
    compatibilityDate: config.compatibility_date,
    compatibilityFlags: config.compatibility_flags,
    objects: config.durable_objects.bindings.map(({ name, class_name }) => ({
      binding: name,
      className: class_name,
    })),
    assets: { binding: config.assets.binding, directory: config.assets.directory },
    vars: config.vars,
    secretNames: config.secrets.required,
  };
}
