/**
 * Files that a configuration names, opened before a program is started by it: one that is missing, may not be
 * read, or holds something else is said with the option that names it, and so with its line. [CF4]
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { stat } from "node:fs/promises";
import { CommandFault } from "./command-fault.ts";
import { optionInvalid } from "./command-options.ts";
import { readSmallFile } from "./small-file.ts";

/** One file, or several that belong together. */
export interface NamedFiles {
  /** Which names it; of several the first. */
  readonly option: string;
  /** Throws what is wrong. */
  readonly check: () => Promise<unknown>;
}

/** Where files in PEM form are, and by which options. */
export interface PemOptions {
  readonly certificate: readonly [option: string, file: string];
  readonly key: readonly [option: string, file: string];
  readonly authorities?: readonly [option: string, file: string] | null;
}

/** Everything that is wrong with files, each by itself. */
export class FilesFault extends CommandFault {
  readonly each: readonly CommandFault[];

  constructor(each: readonly CommandFault[]) {
    super(each[0]!.code, each.map(({ message }) => message).join("\n"));
    this.each = each;
  }
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** Looks at all of them. Throws `FilesFault`. */
export async function checkNamedFiles(files: readonly NamedFiles[]): Promise<void> {
  const ends = await Promise.allSettled(files.map(({ check }) => check()));
  const faults = ends.flatMap((end, at) =>
    end.status === "fulfilled" ? [] : [ofOption(files[at]!.option, end.reason)],
  );
  if (faults.length > 0) throw new FilesFault(faults);
}

/** A certificate and its key, and with whom it has to do. */
export function pemFiles({ certificate, key, authorities = null }: PemOptions): readonly NamedFiles[] {
  return [
    { option: certificate[0], check: () => readCertificates(...certificate) },
    { option: key[0], check: () => checkKey(key, certificate) },
    ...(authorities === null ? [] : [authorityFile(...authorities)]),
  ];
}

/** Certificates of authorities. */
export function authorityFile(option: string, file: string): NamedFiles {
  return { option, check: () => readCertificates(option, file) };
}

/** A file whose content another judges. */
export function judgedFile(option: string, file: string, judge: () => Promise<unknown>): NamedFiles {
  const check = async (): Promise<unknown> => {
    await textOf(option, file);
    return judge();
  };
  return { option, check };
}

/** The first is that of the certificate itself, the others are of who has signed it. */
async function readCertificates(option: string, file: string): Promise<readonly X509Certificate[]> {
  const text = await textOf(option, file);
  const found = text.match(CERTIFICATES) ?? [];
  if (found.length === 0) {
    const is = PRIVATE_KEY.test(text) ? ": it is a private key" : "";
    throw optionInvalid(`${option} ${file} holds no certificate in PEM form${is}.`);
  }
  try {
    return found.map((pem) => new X509Certificate(pem));
  } catch (fault) {
    throw optionInvalid(
      `${option} ${file} holds no certificate that can be read: ${(fault as Error).message}.`,
    );
  }
}

async function checkKey(
  [option, file]: readonly [string, string],
  certificate: readonly [string, string],
): Promise<void> {
  const text = await textOf(option, file);
  if (!PRIVATE_KEY.test(text)) {
    const is = text.includes("BEGIN CERTIFICATE") ? ": it is a certificate" : "";
    throw optionInvalid(`${option} ${file} holds no private key in PEM form${is}.`);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch (fault) {
    const why = text.includes("ENCRYPTED")
      ? "it is encrypted, and nobody is asked for a password"
      : (fault as Error).message;
    throw optionInvalid(`${option} ${file} holds no private key that can be read: ${why}.`);
  }
  // What is wrong with the certificate is said of that.
  const [first] = await readCertificates(...certificate).catch(() => []);
  if (first !== undefined && !first.checkPrivateKey(key))
    throw optionInvalid(`${option} ${file} is not the key of the certificate ${certificate[1]}.`);
}

async function textOf(option: string, file: string): Promise<string> {
  try {
    const found = await stat(file);
    if (found.isDirectory()) throw optionInvalid(`${option} ${file} is a directory, not a file.`);
    // A pipe may never end, and what is read from one is not there any more for who is to use it.
    if (!found.isFile()) throw optionInvalid(`${option} ${file} is a pipe or a device, not a file.`);
    return await readSmallFile(file);
  } catch (fault) {
    if (fault instanceof CommandFault) throw fault;
    throw optionInvalid(`${option} ${file} cannot be read: ${reasonOf(fault)}.`);
  }
}

function reasonOf(fault: unknown): string {
  const { code, message } = fault as NodeJS.ErrnoException;
  if (code === "ENOENT") return "there is none";
  return code === "EACCES" ? "this user may not read it" : message;
}

/** Begins with the option, by which it is found where it was said. */
function ofOption(option: string, fault: unknown): CommandFault {
  if (!(fault instanceof CommandFault)) throw fault;
  return fault.message.startsWith(option)
    ? fault
    : new CommandFault(fault.code, `${option}: ${fault.message}`, fault);
}
