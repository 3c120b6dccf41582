// Gives one delivery, read from standard input, to one of the pieces of code of
// docs/receivers/no-code.md as many times as it says, and prints what each answered
// and what was kept.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import vm from "node:vm";

const { code, name, secret, headers, body, key, times } = JSON.parse(readFileSync(0, "utf8"));
const kept = [];
const answers = [];

const play = {
  async zapier() {
    const run = new (Object.getPrototypeOf(async function () {}).constructor)("inputData", "require", code);
    try {
      kept.push(await run({ secret, body, signature: headers["X-Dembrane-Signature"] }, createRequire(import.meta.url)));
      return "ok";
    } catch (error) {
      return error.message;
    }
  },
  async "apps-script"() {
    const sheet = {
      createTextFinder: (text) => ({ matchEntireCell: () => ({ findNext: () => kept.find((row) => row.includes(text)) ?? null }) }),
      appendRow: (row) => kept.push([...row]),
    };
    const context = vm.createContext({
      ContentService: { createTextOutput: (text) => text },
      LockService: { getScriptLock: () => ({ waitLock() {}, releaseLock() {} }) },
      SpreadsheetApp: { getActiveSpreadsheet: () => ({ getSheetByName: () => sheet }) },
      request: { parameter: { key }, postData: { contents: body } },
    });
    return vm.runInContext(`${code}\ndoPost(request)`, context);
  },
  async worker() {
    const { default: worker } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
    const bucket = {
      head: async (file) => kept.find((one) => one.file === file) ?? null,
      put: async (file, content) => kept.push({ file, body: new TextDecoder().decode(content) }),
    };
    const request = new Request("https://worker.example.org/", { method: "POST", headers, body });
    return (await worker.fetch(request, { WEBHOOK_SECRET: secret, INBOX: bucket })).status;
  },
};

for (let i = 0; i < times; i++) answers.push(await play[name]());
console.log(JSON.stringify({ answers, kept }));
