// A receiver in JavaScript, as the documentation of standardwebhooks shows it.
// It prints its address, then one line for every delivery.
import http from "node:http";
import { Webhook } from "standardwebhooks";

const secret = process.argv[2];
// A secret of any other form goes in as its bytes.
const webhook = secret.startsWith("whsec_") ? new Webhook(secret) : new Webhook(Buffer.from(secret), { format: "raw" });

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    try {
      const payload = webhook.verify(Buffer.concat(chunks).toString("utf8"), request.headers);
      console.log(`verified ${payload.event}`);
      response.writeHead(204).end();
    } catch (error) {
      console.log(`refused: ${error.message}`);
      response.writeHead(401).end();
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
