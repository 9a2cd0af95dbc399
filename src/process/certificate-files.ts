/** A certificate and its key, as two files in PEM form. */
import { createSecureContext } from "node:tls";
import { readSmallFile } from "./small-file.ts";

/** Both texts. */
export interface CertifiedKey {
  readonly cert: string;
  readonly key: string;
}

/** Reads both. Throws, with a sentence, where they are no certificate and its key. */
export async function readCertificateFiles(certificate: string, key: string): Promise<CertifiedKey> {
  const [cert, secret] = await Promise.all([readFilled(certificate), readFilled(key)]);
  createSecureContext({ cert, key: secret });
  return { cert, key: secret };
}

/** Node takes an empty text for no certificate at all, without a word. A file that is being written is empty at first. */
async function readFilled(file: string): Promise<string> {
  const text = await readSmallFile(file);
  if (text === "") throw new Error(`${file} is empty`);
  return text;
}
