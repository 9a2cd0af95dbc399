/**
 * The certificate of a listener that speaks TLS, and whose clients' certificates it takes. Both are
 * followed on the disk: certificates are renewed while a listener runs. [PX11] [TR2]
 */
import { stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { readCertificateFiles } from "../../../process/certificate-files.ts";
import { readSmallFile } from "../../../process/small-file.ts";

/** With what TLS is offered, in PEM form. */
export interface PemPair {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Who signs the certificates that clients have to show; absent where they need none. */
  readonly ca?: string | Buffer;
}

/** Where these are, in PEM form. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
  /** Null where clients need no certificate. */
  readonly clientCa: string | null;
}

const LOOK_EVERY_MS = 30_000;

/** One for all listeners of a kind in a process. */
export class ListenerCertificate {
  readonly #files: CertificateFiles;
  readonly #onFault: (fault: unknown) => void;
  #pair: PemPair;
  #version: string;
  #timer: NodeJS.Timeout | null = null;

  private constructor(
    files: CertificateFiles,
    pair: PemPair,
    version: string,
    onFault: (fault: unknown) => void,
  ) {
    this.#files = files;
    this.#pair = pair;
    this.#version = version;
    this.#onFault = onFault;
  }

  /** Reads the files; throws what is wrong with them. A fault of a later reading leaves what there is. */
  static async open(
    files: CertificateFiles,
    onFault: (fault: unknown) => void,
    lookEveryMs = LOOK_EVERY_MS,
  ): Promise<ListenerCertificate> {
    const version = await versionOf(files);
    const certificate = new ListenerCertificate(files, await pairOf(files), version, onFault);
    certificate.#timer = setInterval(() => void certificate.#look(), lookEveryMs).unref();
    return certificate;
  }

  /** For the next connection; another object as soon as the files have changed. */
  get pair(): PemPair {
    return this.#pair;
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      const version = await versionOf(this.#files);
      if (version === this.#version) return;
      // Certificate and key are two files: between the two writes they do not fit, and are read again.
      this.#pair = await pairOf(this.#files);
      this.#version = version;
    } catch (fault) {
      this.#onFault(fault);
    }
  }
}

async function versionOf({ certificate, key, clientCa }: CertificateFiles): Promise<string> {
  const files = clientCa === null ? [certificate, key] : [certificate, key, clientCa];
  const stats = await Promise.all(files.map((file) => stat(file)));
  return stats.map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`).join();
}

async function pairOf({ certificate, key, clientCa }: CertificateFiles): Promise<PemPair> {
  const pair = await readCertificateFiles(certificate, key);
  if (clientCa === null) return pair;
  const ca = await authorities(clientCa);
  // Throws where they are no authorities.
  createSecureContext({ ca });
  return { ...pair, ca };
}

/** A file without a certificate would be taken without a word, and then let nobody in. */
async function authorities(file: string): Promise<string> {
  const ca = await readSmallFile(file);
  if (!ca.includes("-----BEGIN CERTIFICATE-----")) throw new Error(`there is no certificate in ${file}`);
  return ca;
}
