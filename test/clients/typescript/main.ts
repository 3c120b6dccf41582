// Uses the API by openapi-fetch and the types that openapi-typescript makes of its
// OpenAPI document. `make clients` writes api.d.ts first; it is not kept.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

// The line that a standalone prints when it is ready.
const ready = JSON.parse(readFileSync(0, "utf8")) as { api: string; token: string };
const api = createClient<paths>({ baseUrl: ready.api, headers: { Authorization: `Bearer ${ready.token}` } });
const project = { pid: "clients-typescript" };

const received: (string | string[] | undefined)[] = [];
const receiver = createServer((request, response) => {
  received.push(request.headers["x-dembrane-event"]);
  response.end();
});
receiver.listen(0, "127.0.0.1");
await once(receiver, "listening");
const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;

const made = await api.POST("/api/projects/{pid}/webhooks", {
  params: { path: project, header: { "Idempotency-Key": "once" } },
  body: { url, events: ["report.generated"], secret: "a secret of ours" },
});
assert(made.data, JSON.stringify(made.error));
assert.equal(made.data.has_secret, true);
assert.equal(made.data.health.state, "ok");
const path = { ...project, id: made.data.id };
const all = await api.GET("/api/projects/{pid}/webhooks", { params: { path: project } });
assert.deepEqual(all.data?.map((webhook) => webhook.id), [path.id]);
const changed = await api.PATCH("/api/projects/{pid}/webhooks/{id}", {
  params: { path },
  body: { name: "Reports", max_per_second: 2.5 },
});
assert.equal(changed.data?.name, "Reports");
assert.equal(changed.data.max_per_second, 2.5);

const tested = await api.POST("/api/projects/{pid}/webhooks/{id}/test", { params: { path } });
assert.equal(tested.data?.status_code, 200);
assert.deepEqual(received, ["webhook.test"]);

let listed: components["schemas"]["Attempt"][] = [];
const until = Date.now() + 20_000;
while (listed.length === 0 && Date.now() < until) { // it is recorded within a second
  const page = await api.GET("/api/projects/{pid}/webhooks/{id}/deliveries", {
    params: { path, query: { trigger: "test", limit: 10 } },
  });
  assert(page.data, JSON.stringify(page.error));
  listed = page.data.data;
  await setTimeout(50);
}
const newest = listed[0];
assert(newest, "the test is not listed");
assert.equal(newest.id, tested.data.attempt_id);
const status: "delivered" | "pending" | "failed" | "ended" = newest.status; // the types are as narrow as the document
assert.equal(status, "delivered");
const one = await api.GET("/api/projects/{pid}/webhooks/{id}/deliveries/{attempt}", {
  params: { path: { ...path, attempt: newest.id } },
});
assert.equal(one.data?.request?.url, url);

const replayed = await api.POST("/api/projects/{pid}/webhooks/{id}/replay", {
  params: { path },
  body: { since: new Date(Date.now() - 3_600_000).toISOString(), only: "all", dry_run: true },
});
assert(replayed.data && "count" in replayed.data, JSON.stringify(replayed.error));
assert.equal(replayed.data.count, 0);
assert.equal(replayed.data.oldest, null);
const statistics = await api.GET("/api/projects/{pid}/webhooks/{id}/statistics", { params: { path } });
assert.equal(statistics.data?.hours.length, 168);

const refused = await api.POST("/api/projects/{pid}/webhooks", {
  params: { path: project },
  body: { url: "ftp://example.org", events: ["report.generated"] },
});
assert.equal(refused.error?.status, 400);
assert.equal(refused.error.errors?.[0]?.field, "url");
const missing = await api.GET("/api/projects/{pid}/webhooks/{id}", { params: { path: { ...project, id: "unknown" } } });
assert.equal(missing.error?.detail, "Webhook not found");
const gone = await api.DELETE("/api/projects/{pid}/webhooks/{id}", { params: { path } });
assert.equal(gone.response.status, 204);

receiver.close();
receiver.closeAllConnections();
console.log("the TypeScript client: passed");
