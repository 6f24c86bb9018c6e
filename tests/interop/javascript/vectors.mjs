// Test vectors: files of `name: value` lines, an empty line, and an envelope in hex.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The vectors of a folder, in the order of their names. */
export function readAll(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith(".txt")).sort();
  return files.map((file) => read(join(folder, file)));
}

function read(path) {
  const [head, envelope] = readFileSync(path, "ascii").split("\n\n");
  const lines = head.split("\n").map((line) => line.split(/:(.*)/s).slice(0, 2).map((part) => part.trim()));
  return { ...Object.fromEntries(lines), path, data: unhex(envelope) };
}

export function unhex(text) {
  return Buffer.from(text.replace(/\s/g, ""), "hex");
}
