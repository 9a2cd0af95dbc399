import { describe, expect, test } from "vitest";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { CATALOGUE_MIGRATIONS } from "../../durable-objects/catalogue/catalogue-schema.ts";
import { POOL_MIGRATIONS } from "../../durable-objects/pool/pool-schema.ts";
import { migrate, type Migrations } from "../../durable-objects/storage/migrate.ts";
import { openNodeDatabase } from "./node-database.ts";

const FIRST: Migrations = [["CREATE TABLE thing (name TEXT)"]];
const SECOND: Migrations = [
  ...FIRST,
  ["ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 1", "UPDATE thing SET size = 2"],
];

describe("migrations", () => {
  test("[DO1] bring an old database forward and keep what is in it", () => {
    const database = openNodeDatabase();
    migrate(database, FIRST);
    database.sql.exec("INSERT INTO thing (name) VALUES ('kept')");
    migrate(database, SECOND);
    expect(database.sql.exec("SELECT name, size FROM thing").toArray()).toEqual([{ name: "kept", size: 2 }]);
  });

  test("[DO1] run once each, however often an object starts", () => {
    const database = openNodeDatabase();
    migrate(database, SECOND);
    database.sql.exec("INSERT INTO thing (name) VALUES ('new')");
    migrate(database, SECOND);
    expect(database.sql.exec("SELECT name, size FROM thing").toArray()).toEqual([{ name: "new", size: 1 }]);
  });

  test("[DO1] leave nothing behind when one of them fails", () => {
    const database = openNodeDatabase();
    migrate(database, FIRST);
    const broken: Migrations = [...FIRST, ["CREATE TABLE half (name TEXT)", "CREATE TABLE"]];
    expect(() => migrate(database, broken)).toThrow("incomplete input");
    migrate(database, [...FIRST, ["CREATE TABLE half (name TEXT)"]]);
    expect(database.sql.exec("SELECT * FROM half").toArray()).toEqual([]);
  });

  test("[DO2] refuse a database that is newer than the program", () => {
    const database = openNodeDatabase();
    migrate(database, SECOND);
    expect(() => migrate(database, FIRST)).toThrow("newer than 1");
    // What is there is untouched, for the program that knows it.
    migrate(database, SECOND);
  });

  test.each([
    ["an address", ADDRESS_MIGRATIONS],
    ["a pool", POOL_MIGRATIONS],
    ["the catalogue", CATALOGUE_MIGRATIONS],
  ])("[DO1] of %s run on any SQLite", (_what, migrations) => {
    const database = openNodeDatabase();
    migrate(database, migrations);
    const version = database.sql.exec("SELECT version FROM schema_version").toArray();
    expect(version).toEqual([{ version: migrations.length }]);
  });
});
