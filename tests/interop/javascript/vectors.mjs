// Test vectors: files of `name: value` lines, an empty line, and an envelope in hex.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The vectors of a folder, in the order of their names. */
export function readAll(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith(".txt")).sort();
  return files.map((file) => read(join(folder, file)));
}

const LINES = new Set(
  ("expect note by now audience detached kind request suites batches types max-body skew max-lifetime beacon clockless " +
    "before first-seen newest shared agree body").split(" "),
);
const RECORDS = new Set(["es256", "hmac256", "a256gcm"]);
const RIGHTS = new Set("issuers types audiences valid-from valid-until record-kind disabled".split(" "));

/** Returns the lines by name, and the bytes; for several keys of one kind the first. An unknown or duplicate line is an error. */
function read(path) {
  const [head, envelope] = readFileSync(path, "ascii").split("\n\n");
  const lines = head.split("\n").map((line) => line.split(/:(.*)/s).slice(0, 2).map((part) => part.trim()));
  const vector = { path, data: unhex(envelope) };
  let rights;
  for (const [name, value] of lines) {
    const isRecord = RECORDS.has(name);
    if (isRecord) {
      rights = {};
    }
    const target = rights !== undefined && RIGHTS.has(name) ? rights : vector;
    if (!isRecord && (name in target || (target === vector && !LINES.has(name)))) {
      throw new Error(`${path}: the line ${name}`);
    }
    target[name] ??= value;
  }
  if (("by" in vector) !== (vector.expect !== "accepted")) {
    throw new Error(`${path}: by goes with what is refused`);
  }
  return vector;
}

export function unhex(text) {
  return Buffer.from(text.replace(/\s/g, ""), "hex");
}
