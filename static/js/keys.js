// X25519 keys and the proof of possession, made in this page and nowhere else.
//
// WebCrypto does the work where it knows X25519; tweetnacl where it does not, and
// in pages without a secure context (plain http to another machine), where the
// browser hides WebCrypto altogether.

import "../vendor/tweetnacl/nacl-fast.min.js";
import { hmacSha256 } from "./sha256.js";

const KEY_BYTES = 32;
const encoder = new TextEncoder();

export function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function fromBase64Url(text) {
  return fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
}

/** Return { publicKey, privateKey, agree(theirs) }, keys as canonical base64. */
export async function makeKey() {
  return (await makeWebCryptoKey()) ?? makeNaclKey();
}

async function makeWebCryptoKey() {
  if (!globalThis.crypto?.subtle) return null;
  let pair;
  try {
    pair = await crypto.subtle.generateKey({ name: "X25519" }, true, ["deriveBits"]);
  } catch {
    return null; // An older browser: WebCrypto without X25519.
  }
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return {
    publicKey: toBase64(fromBase64Url(jwk.x)),
    privateKey: toBase64(clamp(fromBase64Url(jwk.d))),
    agree: (theirs) => agreeWebCrypto(pair.privateKey, theirs),
  };
}

async function agreeWebCrypto(privateKey, theirs) {
  const algorithm = { name: "X25519" };
  const peer = await crypto.subtle.importKey("raw", theirs, algorithm, true, []);
  const bits = await crypto.subtle.deriveBits(
    { ...algorithm, public: peer },
    privateKey,
    8 * KEY_BYTES,
  );
  return new Uint8Array(bits);
}

function makeNaclKey() {
  const secret = clamp(crypto.getRandomValues(new Uint8Array(KEY_BYTES)));
  return {
    publicKey: toBase64(nacl.scalarMult.base(secret)),
    privateKey: toBase64(secret),
    agree: async (theirs) => nacl.scalarMult(secret, theirs),
  };
}

// RFC 7748 §5: the form in which wg(8) prints a private key.
function clamp(secret) {
  const clamped = Uint8Array.from(secret);
  clamped[0] &= 248;
  clamped[31] &= 127;
  clamped[31] |= 64;
  return clamped;
}

/** Return the proof that whoever holds `key` answers this challenge. */
export async function prove(key, challenge) {
  const shared = await key.agree(fromBase64(challenge.public_key));
  const message = [
    "peerage enrolment v1",
    challenge.challenge,
    challenge.nonce,
    key.publicKey,
  ].join("\n");
  return toBase64(await hmacSha256(shared, encoder.encode(message)));
}
