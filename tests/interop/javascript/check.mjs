// Opens accepted vectors with @auth0/cose: node check.mjs FOLDER...; the exit code is 1 if anything is wrong.

import { createRequire } from "node:module";
import { basename } from "node:path";
import { emptyHeader, open, suite } from "./open.mjs";
import { readAll, unhex } from "./vectors.mjs";

const { version } = createRequire(import.meta.url)("@auth0/cose/package.json");
const all = process.argv.slice(2).flatMap(readAll);
const vectors = all.filter((vector) => vector.expect === "accepted");
const malformed = all.filter((vector) => vector.expect === "malformed");
const opened = { S: 0, M: 0, E: 0, SE: 0, SP: 0 };
const wrong = [];
let changed = 0;

for (const vector of vectors) {
  const name = suite(vector.data);
  const outcome = await attempt(vector, vector.data);
  // The library does not agree on keys, so that of suite SP only the signature is checked.
  if (name === "SP" ? outcome instanceof Uint8Array : unhex(vector.body).equals(outcome)) {
    opened[name] += 1;
  } else {
    wrong.push(`${basename(vector.path)}: ${outcome}`);
  }
  for (const data of damaged(vector.data, emptyHeader(vector.data, name))) {
    changed += 1;
    if ((await attempt(vector, data)) instanceof Uint8Array) {
      wrong.push(`${basename(vector.path)}: accepted as ${data.toString("hex")}`);
    }
  }
}

let lax = 0;
for (const vector of malformed) {
  lax += (await attempt(vector, vector.data)) instanceof Uint8Array ? 1 : 0;
}

for (const complaint of wrong) {
  console.log(`@auth0/cose: ${complaint}`);
}
const counts = Object.entries(opened).map(([name, count]) => `${name} ${count}`).join(", ");
console.log(
  `@auth0/cose ${version}: opened ${counts} to the body, SP to what is signed; ` +
    `${changed} with one bit changed; ${wrong.length} wrong`,
);
console.log(`@auth0/cose: also opened ${lax} of ${malformed.length} malformed ones`);
process.exitCode = wrong.length > 0 || vectors.length === 0 ? 1 : 0;

async function attempt(vector, data) {
  try {
    return await open(vector, data);
  } catch (error) {
    return error;
  }
}

/** The envelope with one bit changed, once for every byte but one. */
function damaged(data, except) {
  return Array.from(data.keys())
    .filter((at) => at !== except)
    .map((at) => {
      const copy = Buffer.from(data);
      copy[at] ^= 1 << (at % 8);
      return copy;
    });
}
