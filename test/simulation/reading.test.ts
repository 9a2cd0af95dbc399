/** The checks are only as good as what they read: never less than what is on disk. */
import { expect, onTestFinished, test } from "vitest";
import { ObjectDatabase } from "./object-database.ts";
import { Reading } from "./reading.ts";

test("a table is read again after whatever has written to it, and after that was taken back", () => {
  const database = new ObjectDatabase();
  onTestFinished(() => database.close());
  const { sql } = database;
  sql.exec("CREATE TABLE note (text TEXT)");
  sql.exec("CREATE TABLE other (text TEXT)");
  sql.exec("CREATE TRIGGER copy AFTER INSERT ON other BEGIN INSERT INTO note VALUES (new.text); END");
  database.endTurn(true);
  let readCount = 0;
  const notes = new Reading(database, "note", (from) => {
    readCount += 1;
    return from
      .exec("SELECT text FROM note ORDER BY text")
      .toArray()
      .map((row) => row["text"]);
  });
  const fail = (): void => {
    sql.exec("DELETE FROM note");
    expect(notes.value).toEqual([]);
    throw new Error("not to be kept");
  };
  sql.exec("INSERT INTO note VALUES ('a')");
  expect(notes.value).toEqual(["a"]);
  database.endTurn(true);
  sql.exec("UPDATE note SET text = 'b'");
  expect(notes.value).toEqual(["b"]);
  database.endTurn(false);
  expect(notes.value).toEqual(["a"]);
  sql.exec("INSERT INTO other VALUES ('c')");
  expect(notes.value).toEqual(["a", "c"]);
  expect(() => database.transactionSync(fail)).toThrow("not to be kept");
  expect(notes.value).toEqual(["a", "c"]);
  database.endTurn(true);
  expect(() => database.transactionSync(fail)).toThrow("not to be kept");
  expect(notes.value).toEqual(["a", "c"]);
  const readSoFar = readCount;
  sql.exec("DELETE FROM other");
  expect(notes.value).toEqual(["a", "c"]);
  expect(readCount).toBe(readSoFar);
});
