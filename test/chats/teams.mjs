// Reads every message for Teams with Microsoft's own reader of adaptive cards, which
// reports what it does not know, what is missing, and what version 1.4 does not have.
// node teams.mjs FOLDER
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const { AdaptiveCard, SerializationContext, Versions } = createRequire(import.meta.url)("adaptivecards/dist/adaptivecards.js");

function faults(message) {
  const { contentType, content } = message.attachments[0];
  const found = [];
  const want = (fact, fault) => fact || found.push(fault);
  want(message.type === "message" && message.attachments.length === 1, "it is no message with one card");
  want(contentType === "application/vnd.microsoft.card.adaptive", `the card is ${contentType}`);
  want(content.version === "1.4", `the version is ${content.version}`);
  const context = new SerializationContext(Versions.v1_4);
  const card = new AdaptiveCard();
  card.parse(content, context);
  for (let i = 0; i < context.eventCount; i++) found.push(context.getEventAt(i).message);
  for (const event of card.validateProperties().validationEvents) found.push(event.message);
  // What the reader passed over is missing when it writes the card again.
  const again = texts(card.toJSON(new SerializationContext(Versions.v1_4)));
  for (const text of texts(content)) want(again.includes(text), `not read: ${text.slice(0, 80)}`);
  return found;
}

const texts = (value) =>
  typeof value === "string" ? [value] : value && typeof value === "object" ? Object.values(value).flatMap(texts) : [];

const [folder] = process.argv.slice(2);
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
if (files.length === 0) throw new Error(`there are no messages in ${folder}`);
for (const name of files) {
  for (const fault of faults(JSON.parse(readFileSync(join(folder, name), "utf8")))) {
    console.error(`${name}: ${fault}`);
    process.exitCode = 1;
  }
}
console.log(`Teams: ${files.length} messages read`);
