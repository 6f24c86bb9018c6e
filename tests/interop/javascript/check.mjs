// Opens accepted vectors with @auth0/cose: node check.mjs FOLDER...; the exit code is 1 if anything is wrong.

import { createRequire } from "node:module";
import { basename } from "node:path";
import { emptyHeader, open, suite } from "./open.mjs";
import { readAll, unhex } from "./vectors.mjs";

const { version } = createRequire(import.meta.url)("@auth0/cose/package.json");
const folders = process.argv.slice(2);
let failed = folders.length === 0;
for (const folder of folders) {
  failed = !(await check(folder)) || failed;
}
process.exitCode = failed ? 1 : 0;

/** Whether the library does with the vectors of a folder what it must. */
async function check(folder) {
  const all = readAll(folder);
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
    for (const other of damaged(vector, emptyHeader(vector.data, name))) {
      changed += 1;
      if ((await attempt(other, other.data)) instanceof Uint8Array) {
        wrong.push(`${basename(vector.path)}: accepted as ${other.data.toString("hex")} beside ${other.detached}`);
      }
    }
  }
  let lax = 0;
  for (const vector of malformed) {
    lax += (await attempt(vector, vector.data)) instanceof Uint8Array ? 1 : 0;
  }
  const place = `@auth0/cose ${version}: ${basename(folder)}`;
  for (const complaint of wrong) {
    console.log(`${place}: ${complaint}`);
  }
  const counts = Object.entries(opened).flatMap(([name, count]) => (count > 0 ? [`${name} ${count}`] : []));
  console.log(
    `${place}: opened ${counts.join(", ")} to the body, SP to what is signed; ${changed} changed; ` +
      `${wrong.length} wrong; also opened ${lax} of ${malformed.length} malformed ones`,
  );
  return wrong.length === 0 && vectors.length > 0;
}

async function attempt(vector, data) {
  try {
    return await open(vector, data);
  } catch (error) {
    return error;
  }
}

/** The vector with one bit changed, once for every byte of the envelope but one, and for every byte of a body beside it. */
function damaged(vector, except) {
  const envelopes = flipped(vector.data).filter((_, at) => at !== except);
  const bodies = vector.detached === undefined ? [] : flipped(unhex(vector.detached));
  return [
    ...envelopes.map((data) => ({ ...vector, data })),
    ...bodies.map((body) => ({ ...vector, detached: body.toString("hex") })),
  ];
}

function flipped(data) {
  return Array.from(data.keys(), (at) => {
    const copy = Buffer.from(data);
    copy[at] ^= 1 << (at % 8);
    return copy;
  });
}
