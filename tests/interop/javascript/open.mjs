// Verifying and decrypting with @auth0/cose.

import { createPublicKey, hkdfSync } from "node:crypto";
import { Encrypt0, Mac0, Sign1 } from "@auth0/cose";
import { unhex } from "./vectors.mjs";

const CONTENT_TYPE = 3;
const SALT_COMMIT = -95348;
const SUITES = { 16: "SE", 96: "SP" };

/** The suite, by tag and content type. */
export function suite(data) {
  if (data[0] !== 0xd2) {
    return data[0] === 0xd1 ? "M" : "E";
  }
  return SUITES[Sign1.decode(data).protectedHeaders.get(CONTENT_TYPE)] ?? "S";
}

/** Where the empty unprotected header is: COSE does not authenticate it, and this library takes an array there. */
export function emptyHeader(data, name) {
  if (name === "E") {
    return undefined;
  }
  const header = (name === "M" ? Mac0 : Sign1).decode(data).encodedProtectedHeaders;
  return data.indexOf(header) + header.length;
}

/** The body, or of suite SP what is signed; an error if anything is wrong. */
export async function open(vector, data) {
  const name = suite(data);
  const beside = vector.detached === undefined ? undefined : unhex(vector.detached);
  if (name === "E") {
    return decrypt(data, vector, new Uint8Array());
  }
  if (name === "M") {
    const message = Mac0.decode(data);
    await message.verify(secret(vector.hmac256), { algorithms: [5], detachedPayload: beside });
    return beside ?? message.payload;
  }
  const message = Sign1.decode(data);
  await message.verify(publicKey(unhex(vector.es256)), { algorithms: [-7], detachedPayload: beside });
  if (beside !== undefined) {
    return beside;
  }
  return name === "SE" ? decrypt(message.payload, vector, message.encodedProtectedHeaders) : message.payload;
}

function decrypt(data, vector, externalAAD) {
  const message = Encrypt0.decode(data);
  const salt = message.protectedHeaders.get(SALT_COMMIT).subarray(0, 16);
  const derived = hkdfSync("sha256", secret(vector.shared), salt, "taskseal/v1 A256GCM", 64);
  return message.decrypt(new Uint8Array(derived, 0, 32), { externalAAD, algorithms: [3] });
}

/** The key of a line of kid and key. */
function secret(line) {
  return unhex(line.split(" ")[1]);
}

function publicKey(point) {
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString("base64url"));
  return createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
}
