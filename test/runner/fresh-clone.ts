/** A clone as somebody has it who did nothing in it yet but `npm ci`. */
import { execFileSync } from "node:child_process";
import { cp, mkdir, symlink } from "node:fs/promises";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
/** Tests and benches are not what is tried in it. */
const LEFT_OUT = /^(test|bench)\//;

/** Makes one of what is committed, or about to be; packages are those that this clone has. */
export async function makeFreshClone(clone: string): Promise<void> {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const files = listed.split("\0").filter((file) => file !== "" && !LEFT_OUT.test(file));
  for (const file of files) {
    if (!existsSync(join(ROOT, file))) continue;
    await mkdir(dirname(join(clone, file)), { recursive: true });
    await cp(join(ROOT, file), join(clone, file));
  }
  await symlink(join(ROOT, "node_modules"), join(clone, "node_modules"));
}
