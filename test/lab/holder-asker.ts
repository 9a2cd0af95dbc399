/**
 * Asks an edge in the laboratory who held ports at times: thousands of questions, several at once.
 *
 *     node holder-asker.ts EDGE TOKEN QUESTIONS ANSWERS
 *
 * Both files are JSON: queries of `/v1/holders`, and the answers in the same order.
 */
import { readFile, writeFile } from "node:fs/promises";

const AT_ONCE = 12;

const [edge, token, questionsFile, answersFile] = process.argv.slice(2);
const questions = JSON.parse(await readFile(questionsFile!, "utf8")) as string[];
const answers: unknown[] = [];
let next = 0;

async function ask(): Promise<void> {
  while (next < questions.length) {
    const at = next;
    next += 1;
    const response = await fetch(`${edge}/v1/holders?${questions[at]}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    answers[at] = await response.json();
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, ask));
await writeFile(answersFile!, JSON.stringify(answers));
console.log("all is answered");
