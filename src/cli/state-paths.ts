/** Where everything local lives: keys, tokens, the edge's storage, the hosts' state, process records. */
import { join, resolve } from "node:path";

/** The directory of a project whose operator has said nothing. */
export const DEFAULT_STATE = ".ipshard";

/** The files below one state directory, as absolute paths. */
export class StatePaths {
  readonly root: string;

  constructor(root: string = DEFAULT_STATE) {
    this.root = resolve(root);
  }

  /** A private JWK of this kind, mode 0600. */
  keyFile(kind: "issuer" | "edge"): string {
    return join(this.keys, `${kind}.json`);
  }

  /** Where all keys are. */
  get keys(): string {
    return join(this.root, "keys");
  }

  /** Where the issuers' keys are that were replaced and are good still, each in the file of its id. */
  get formerKeys(): string {
    return join(this.keys, "former");
  }

  formerKeyFile(kid: string): string {
    return join(this.formerKeys, `${kid.replaceAll(/[^\w-]/g, "_")}.json`);
  }

  tokenFile(name: string): string {
    return join(this.root, "tokens", name);
  }

  /** What Prometheus shows to the edge, mode 0600. */
  get metricsTokenFile(): string {
    return join(this.root, "tokens", "metrics");
  }

  /** Configuration and bundle of the edge, made anew at each start. */
  get edge(): string {
    return join(this.root, "edge");
  }

  /** What the edge's Durable Objects store. */
  get edgeStorage(): string {
    return join(this.edge, "storage");
  }

  /** Says of which backup the storage is, and since when. */
  get restorationFile(): string {
    return join(this.edge, "restoration.json");
  }

  hostState(host: string): string {
    return join(this.root, "hosts", host);
  }

  logFile(process: string): string {
    return join(this.root, "logs", `${process}.log`);
  }

  /** Records of running processes, one file each. */
  get run(): string {
    return join(this.root, "run");
  }
}
