// Adds a device: makes the key here, proves that we hold it, shows the result once.
//
// What is sent: the name, the platform, the public key and the proof. The private
// key lives in this page's memory until the page is left.

import { encodeQR } from "../vendor/qr/qr.js";
import { csrfToken } from "./csrf.js";
import { makeKey, prove } from "./keys.js";

const FILE_NAME_LENGTH = 15; // wg-quick(8): the file names the interface, 15 at most

const form = document.getElementById("enroll-form");
const problem = document.getElementById("enroll-problem");
const result = document.getElementById("enroll-result");
const urls = [];
let unsaved = false;

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(answer.detail ?? `The portal answered ${response.status}.`);
  }
  return answer;
}

async function enroll() {
  const challenge = await post("/api/v1/challenges/", {});
  const key = await makeKey();
  const answer = await post("/api/v1/devices/", {
    name: form.elements.name.value.trim(),
    platform: form.elements.platform.value,
    public_key: key.publicKey,
    challenge: challenge.challenge,
    proof: await prove(key, challenge),
  });
  show(answer, withPrivateKey(answer.config, key.privateKey));
}

function withPrivateKey(config, privateKey) {
  return config.replace("[Interface]\n", `[Interface]\nPrivateKey = ${privateKey}\n`);
}

function show(answer, config) {
  unsaved = true;
  const name = document.getElementById("result-name");
  name.textContent = answer.device.name;
  document.getElementById("result-addresses").textContent =
    answer.device.addresses.join(", ");
  document.getElementById("result-fingerprint").textContent =
    answer.device.fingerprint;
  const download = document.getElementById("result-download");
  download.href = blobUrl(config, "application/octet-stream");
  download.download = fileName(answer.device.name);
  document.getElementById("result-command").textContent =
    `wg-quick up ./${download.download}`;
  const svg = encodeQR(config, "svg", { ecc: "low", border: 4 });
  document.getElementById("result-qr").src = blobUrl(svg, "image/svg+xml");
  const number = answer.device.id;
  document.getElementById("result-done").href = `/devices/${number}/`;
  document.getElementById("enroll-start").hidden = true;
  result.hidden = false;
  result.querySelector("h2").focus();
}

function blobUrl(content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  urls.push(url);
  return url;
}

function fileName(name) {
  const safe = name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, FILE_NAME_LENGTH)
    .replace(/^-+|-+$/g, "");
  return `${safe || "peerage"}.conf`;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  problem.hidden = true;
  try {
    await enroll();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    problem.focus();
  } finally {
    button.disabled = false;
  }
});

// Nobody can show the key again, so leaving without it asks first.
window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});

document.getElementById("result-download").addEventListener("click", () => {
  unsaved = false;
});

document.getElementById("result-done").addEventListener("click", () => {
  unsaved = false;
  urls.forEach((url) => URL.revokeObjectURL(url));
});

form.querySelector("fieldset").disabled = false;
