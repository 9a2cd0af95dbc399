/**
 * The files for containers and clusters, where neither runs: each against what its makers publish of its
 * form. For Kubernetes that is its OpenAPI, as validators and as types; the latter find fields that it does not know.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { validate, ValidationSeverity } from "dockerfile-utils";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { withSnat } from "./commented-options.ts";
import { testedProgram } from "../runner/tested-program.ts";

const ROOT = join(import.meta.dirname, "../..");
const DOCKER = join(ROOT, "deploy/docker");
const KUBERNETES = join(ROOT, "deploy/kubernetes");
const run = promisify(execFile);

/** By kind: the published schema, and where its type is. */
const KINDS: Readonly<Record<string, readonly [schema: string, type: string]>> = {
  Namespace: ["IoK8sApiCoreV1Namespace", "v1"],
  ServiceAccount: ["IoK8sApiCoreV1ServiceAccount", "v1"],
  ConfigMap: ["IoK8sApiCoreV1ConfigMap", "v1"],
  Service: ["IoK8sApiCoreV1Service", "v1"],
  DaemonSet: ["IoK8sApiAppsV1DaemonSet", "apps/v1"],
  StatefulSet: ["IoK8sApiAppsV1StatefulSet", "apps/v1"],
  NetworkPolicy: ["IoK8sApiNetworkingV1NetworkPolicy", "networking.k8s.io/v1"],
};

interface Manifest {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: any;
  readonly data?: Readonly<Record<string, string>>;
}

let manifests: readonly Manifest[];
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-manifests-"));
  const files = (await readdir(KUBERNETES)).filter((file) => file.endsWith(".yaml"));
  const texts = await Promise.all(files.toSorted().map((file) => readFile(join(KUBERNETES, file), "utf8")));
  manifests = texts.flatMap((text) =>
    parseAllDocuments(text, { strict: true, version: "1.1" }).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS() as Manifest;
    }),
  );
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function of(kind: string, name: string): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  expect(found.length).toBe(1);
  return found[0]!;
}

async function objections(manifest: Manifest): Promise<unknown> {
  const [schema] = KINDS[manifest.kind]!;
  const { validate: isValid } = (await import(`kubernetes-models/_schemas/${schema}`)) as {
    validate: { (value: unknown): boolean; errors?: unknown };
  };
  return isValid(manifest) ? null : isValid.errors;
}

/** What the compiler says of these as values of the published types. */
async function compiled(values: readonly Manifest[]): Promise<string> {
  await symlink(join(ROOT, "node_modules"), join(directory, "node_modules")).catch(() => {});
  const lines = values.map((value, number) => {
    const type = `import("kubernetes-models/${KINDS[value.kind]![1]}").I${value.kind}`;
    return `export const value${number}: ${type} = ${JSON.stringify(value)};`;
  });
  await writeFile(join(directory, "package.json"), '{"type":"module"}');
  await writeFile(join(directory, "values.ts"), lines.join("\n"));
  const compiler = join(
    dirname(createRequire(import.meta.url).resolve("typescript/package.json")),
    "bin/tsc",
  );
  const options = [
    "--ignoreConfig",
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--module",
    "NodeNext",
    "--types",
    "",
  ];
  return run(process.execPath, [compiler, ...options, join(directory, "values.ts")]).then(
    () => "",
    (fault: { stdout: string }) => fault.stdout,
  );
}

test("[DP5] each manifest is what Kubernetes publishes of its kind", async () => {
  expect(manifests.map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(["DaemonSet", "NetworkPolicy", "ServiceAccount", "StatefulSet"]),
  );
  for (const manifest of manifests) expect(await objections(manifest), manifest.metadata.name).toBeNull();
  expect(await compiled(manifests)).toBe("");
});

test("[DP5] a wrong value and an unknown field would be found", async () => {
  const agents = of("DaemonSet", "ipshard-agent");
  expect(await objections({ ...agents, spec: { ...agents.spec, minReadySeconds: "5" } })).not.toBeNull();
  const slip = { ...agents, spec: { ...agents.spec, updateStrategies: {} } };
  expect(await compiled([slip])).toContain("updateStrategies");
});

test("[DP5] what manifests say of each other is there, and the agent accepts its options", async () => {
  const agents = of("DaemonSet", "ipshard-agent");
  const edge = of("StatefulSet", "ipshard-edge");
  for (const { spec } of [agents, edge]) {
    of("ServiceAccount", spec.template.spec.serviceAccountName);
    expect(spec.template.metadata.labels).toEqual(spec.selector.matchLabels);
  }
  expect(of("NetworkPolicy", "edge").spec.podSelector.matchLabels).toEqual(edge.spec.selector.matchLabels);
  expect(of("Service", edge.spec.serviceName).spec.selector).toEqual(edge.spec.selector.matchLabels);

  const options = join(directory, "ipshard.yaml");
  await writeFile(options, of("ConfigMap", "ipshard-options").data!["ipshard.yaml"]!);
  const [agent] = agents.spec.template.spec.containers as {
    args: string[];
    env: { name: string; value?: string }[];
  }[];
  const env = Object.fromEntries(
    agent!.env
      .filter(({ name }) => name.startsWith("IPSHARD_"))
      .map(({ name, value }) => [
        name,
        value!.replace("$(NODE_IP)", "10.0.0.11").replace("$(NODE_NAME)", "n1"),
      ]),
  );
  const args = agent!.args.map((arg) => arg.replace("/etc/ipshard/ipshard.yaml", options));
  await accepts(args, env);
  await writeFile(options, withSnat(await readFile(options, "utf8")));
  await accepts(args, env);
});

async function accepts(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<void> {
  const main = testedProgram("cli");
  const { stdout } = await run(process.execPath, [main, ...args, "--check-config", "--files-elsewhere"], {
    env: { ...process.env, ...env },
  });
  expect(stdout).toBe("All that is configured can be used.\n");
}

test("[DP5] the Dockerfile has no fault, and the workerd that is tested", async () => {
  const text = await readFile(join(DOCKER, "Dockerfile"), "utf8");
  const severity = ValidationSeverity.ERROR;
  const settings = {
    deprecatedMaintainer: severity,
    directiveCasing: severity,
    emptyContinuationLine: severity,
    instructionCasing: severity,
    instructionCmdMultiple: severity,
    instructionEntrypointMultiple: severity,
    instructionHealthcheckMultiple: severity,
    instructionJSONInSingleQuotes: severity,
    instructionWorkdirRelative: severity,
  };
  expect(validate(text, settings)).toEqual([]);
  expect(validate(`${text}\nRUNN true\nCMD a\nCMD b\n`, settings).length).toBeGreaterThan(1);
  const { version } = JSON.parse(await readFile(join(ROOT, "node_modules/workerd/package.json"), "utf8")) as {
    version: string;
  };
  expect(text).toContain(`ARG WORKERD_VERSION=${version}\n`);
});

test("[DP5] the compose file is what compose publishes, and the programs accept what it starts", async () => {
  const file = join(DOCKER, "compose.yaml");
  // Their order says nothing, and which quotes stand around ports is the formatter's.
  const order = ["service-keys-order", "services-alphabetical-order", "top-level-properties-order"];
  const disabled = [...order, "require-quotes-in-ports"].flatMap((rule) => ["--disable-rule", rule]);
  const dclint = join(ROOT, "node_modules/.bin/dclint");
  const lint = (path: string) => run(dclint, [path, "--max-warnings", "0", ...disabled]);
  await lint(file);
  const slip = join(directory, "compose.yaml");
  const text = await readFile(file, "utf8");
  await writeFile(slip, text.replace("stop_grace_period:", "stop_grace_periods:"));
  await expect(lint(slip)).rejects.toMatchObject({
    stdout: expect.stringContaining("additional properties"),
  });

  const { services } = parse(text, { merge: true }) as {
    services: Record<string, { command: string[]; cap_drop: string[] }>;
  };
  expect(Object.keys(services)).toEqual(["edge", "agent", "router"]);
  for (const { command, cap_drop } of Object.values(services)) {
    expect(cap_drop).toEqual(["ALL"]);
    await accepts(
      command.map((word) => word.replace("/run/ipshard.yaml", join(ROOT, "deploy/systemd/ipshard.yaml"))),
    );
  }
});
