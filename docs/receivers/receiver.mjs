// A receiver of dembrane webhooks that you can copy. Node.js 18 or newer, nothing to
// install. In a TypeScript project it is checked as it is, with "allowJs".
//
//   WEBHOOK_SECRET='whsec_…' node receiver.mjs
//
// It verifies what arrives, writes it into a folder, answers, and only then works on
// it. The folder is what makes it safe: an event that has been answered is worked on
// even if this program is killed, and one that arrives twice is worked on once. With a
// database, a table with a unique column for the id does the same.
//
// Put a proxy that speaks TLS in front of it, and what you want to happen into handle().
// @ts-check

import { createHmac, timingSafeEqual } from "node:crypto";
import fs from "node:fs";
import { createServer } from "node:http";
import path from "node:path";

const SECRET = process.env.WEBHOOK_SECRET ?? "";
const PORT = Number(process.env.PORT ?? 8000);
const INBOX = process.env.INBOX ?? "inbox";
const DONE = path.join(INBOX, "done"); // an empty file for each event; delete those older than a month

const TOLERANCE_SECONDS = 5 * 60;
const MAX_BODY_BYTES = 32 << 20;
const RETRY_MILLISECONDS = 10_000;

/**
 * Your work. If it throws, it is tried again later; after a crash it may run twice.
 * @param {{event: string, id: string, timestamp: string, project: {id: string}}} event
 */
async function handle(event) {
  console.log(event.event, event.id);
}

/** @param {string} secret */
function signingKey(secret) {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice("whsec_".length), "base64") : Buffer.from(secret);
  if (key.length === 0) throw new Error("set WEBHOOK_SECRET: without one, anybody can sign");
  return key;
}

const key = signingKey(SECRET);

/**
 * What is wrong with a delivery, or "" when it is ours and fresh.
 * @param {import("node:http").IncomingHttpHeaders} headers
 * @param {Buffer} body
 */
function faultOf(headers, body) {
  const id = String(headers["webhook-id"] ?? "");
  const timestamp = String(headers["webhook-timestamp"] ?? "");
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(id) || !/^[0-9]{1,12}$/.test(timestamp)) {
    return "webhook-id or webhook-timestamp is missing or malformed";
  }
  const mac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${mac}`);
  // While a secret is being changed there are two signatures; one that fits is enough.
  const signatures = String(headers["webhook-signature"] ?? "").split(" ").map((text) => Buffer.from(text));
  if (!signatures.some((one) => one.length === expected.length && timingSafeEqual(one, expected))) {
    return "no signature matches";
  }
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) {
    return "webhook-timestamp is too far from this computer's clock";
  }
  return "";
}

/**
 * Write the event down, unless it is known. Without await, so that two of the same
 * cannot both be new.
 * @param {string} id
 * @param {Buffer} body
 */
function keep(id, body) {
  const file = path.join(INBOX, `${id}.json`);
  if (fs.existsSync(file) || fs.existsSync(path.join(DONE, id))) return false;
  const part = fs.openSync(`${file}.part`, "w");
  try {
    fs.writeFileSync(part, body);
    fs.fsyncSync(part);
  } finally {
    fs.closeSync(part);
  }
  fs.renameSync(`${file}.part`, file);
  setImmediate(work);
  return true;
}

let working = false;
let again = false;

async function work() {
  again = true;
  if (working) return; // it will look again
  working = true;
  try {
    while (again) {
      again = false;
      for (const name of fs.readdirSync(INBOX).filter((name) => name.endsWith(".json"))) {
        await workOn(path.basename(name, ".json")).catch((error) => console.error(name, error));
      }
    }
  } finally {
    working = false;
  }
}

/** @param {string} id */
async function workOn(id) {
  const file = path.join(INBOX, `${id}.json`);
  const done = path.join(DONE, id);
  if (!fs.existsSync(done)) {
    await handle(JSON.parse(fs.readFileSync(file, "utf8")));
    fs.writeFileSync(done, "");
  }
  fs.unlinkSync(file);
}

const server = createServer((request, response) => {
  /** @type {Buffer[]} */
  const chunks = [];
  let size = 0;
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return void response.writeHead(413, { Connection: "close" }).end("too large");
    chunks.push(chunk);
  });
  request.on("end", () => {
    if (response.headersSent) return;
    if (request.method !== "POST") return void response.writeHead(405).end();
    const body = Buffer.concat(chunks);
    const fault = faultOf(request.headers, body);
    if (fault) return void response.writeHead(401).end(fault);
    const isNew = keep(String(request.headers["webhook-id"]), body);
    response.writeHead(isNew ? 202 : 200).end(isNew ? "accepted" : "known already");
  });
});

fs.mkdirSync(DONE, { recursive: true });
setInterval(work, RETRY_MILLISECONDS);
setImmediate(work); // what was left when this program last ended
server.listen(PORT, "127.0.0.1");
