// Verifies deliveries with the library of Standard Webhooks, one folder each.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

for (const folder of process.argv.slice(2)) {
  const secret = readFileSync(`${folder}/secret`, "utf8");
  // A secret of any other form goes in as its bytes.
  const webhook = secret.startsWith("whsec_") ? new Webhook(secret) : new Webhook(Buffer.from(secret), { format: "raw" });
  const headers = {};
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) headers[name] = readFileSync(`${folder}/${name}`, "utf8");
  try {
    webhook.verify(readFileSync(`${folder}/body`, "utf8"), headers);
    console.log("verified");
  } catch (error) {
    console.log("refused:", error.message);
  }
}
