/** The certificate of a proxy that speaks TLS, followed on the disk: certificates are renewed while it runs. [PX11] */
import { readFile, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";

/** A certificate and its key, in PEM form. */
export interface PemPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Where a certificate and its key are, in PEM form. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

const LOOK_EVERY_MS = 30_000;

/** One for all proxies of a process. */
export class ProxyCertificate {
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

  /** Reads the files; throws what is wrong with them. A fault of a later reading leaves the certificate that there is. */
  static async open(
    files: CertificateFiles,
    onFault: (fault: unknown) => void,
    lookEveryMs = LOOK_EVERY_MS,
  ): Promise<ProxyCertificate> {
    const version = await versionOf(files);
    const certificate = new ProxyCertificate(files, await pairOf(files), version, onFault);
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

async function versionOf({ certificate, key }: CertificateFiles): Promise<string> {
  const stats = await Promise.all([stat(certificate), stat(key)]);
  return stats.map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`).join();
}

async function pairOf({ certificate, key }: CertificateFiles): Promise<PemPair> {
  const [cert, secret] = await Promise.all([readFile(certificate), readFile(key)]);
  // Throws where they are no certificate and its key.
  createSecureContext({ cert, key: secret });
  return { cert, key: secret };
}
