/** Certificates of the tests' own, made by openssl: authorities, and what they sign for servers and clients. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A certificate and its key, as files and as text. */
export interface MadeCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly cert: string;
  readonly keyText: string;
}

/** An authority in a directory of its own; `close` removes it. */
export class Authority {
  readonly directory: string;
  /** Its own certificate, in PEM form. */
  readonly file: string;
  readonly name: string;
  #serial = 1;

  private constructor(directory: string, name: string) {
    this.directory = directory;
    this.name = name;
    this.file = join(directory, "ca.pem");
  }

  static async make(name = "an authority of the tests"): Promise<Authority> {
    const authority = new Authority(await mkdtemp(join(tmpdir(), "ipshard-ca-")), name);
    await authority.#openssl([
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      "ca-key.pem",
      "-out",
      "ca.pem",
    ]);
    return authority;
  }

  async text(): Promise<string> {
    return readFile(this.file, "utf8");
  }

  /** Signs a certificate for a server at loopback, or for a client. */
  async sign(name: string, usage: "serverAuth" | "clientAuth"): Promise<MadeCertificate> {
    this.#serial += 1;
    const [key, request, certificate, extensions] = ["key", "csr", "pem", "ext"].map((end) =>
      join(this.directory, `${this.#serial}.${end}`),
    ) as [string, string, string, string];
    const names = usage === "serverAuth" ? "subjectAltName=IP:127.0.0.1,DNS:localhost\n" : "";
    await writeFile(extensions, `${names}extendedKeyUsage=${usage}\nbasicConstraints=CA:FALSE\n`);
    await this.#openssl([
      "req",
      "-new",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      key,
      "-out",
      request,
    ]);
    await this.#openssl([
      "x509",
      "-req",
      "-in",
      request,
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca-key.pem",
      "-days",
      "2",
      "-set_serial",
      String(this.#serial),
      "-extfile",
      extensions,
      "-out",
      certificate,
    ]);
    const [cert, keyText] = await Promise.all([readFile(certificate, "utf8"), readFile(key, "utf8")]);
    return { certificate, key, cert, keyText };
  }

  async close(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  async #openssl(args: readonly string[]): Promise<void> {
    await run("openssl", [...args], { cwd: this.directory });
  }
}
