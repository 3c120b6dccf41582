// What makes the pages nicer. Everything works without it.
(() => {
  "use strict";
  const refreshEvery = 10_000;
  const suggestAfter = 250;
  const said = document.getElementById("said");
  const say = (text) => { said.textContent = ""; requestAnimationFrame(() => { said.textContent = text; }); };

  // The server writes times in the zone that this cookie names.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  let zoneIsNew = false;
  if (zone && zone !== document.body.dataset.zone) {
    const secure = location.protocol === "https:" ? ";Secure" : "";
    document.cookie = "webhooks_zone=" + encodeURIComponent(zone) + ";Path=/;Max-Age=31536000;SameSite=Lax" + secure;
    zoneIsNew = document.cookie.includes("webhooks_zone=");
  }

  // keepPlaces leaves what is seen where it is: nothing moves away under a finger.
  const keepPlaces = (old, next) => {
    const places = new Map([...old.children].map((child, place) => [child.id, place]));
    const place = (child) => places.get(child.id) ?? -1; // what is new goes first
    next.append(...[...next.children].sort((a, b) => place(a) - place(b)));
  };

  // exchange puts what the page at an address shows in place of what this one does.
  let asked = 0;
  const exchange = async (address, all) => {
    const mine = ++asked;
    const response = await fetch(address, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!response.ok) throw new Error("answered " + response.status);
    if (mine !== asked) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const old of document.querySelectorAll(all ? "[data-live], [data-exchange], .foot" : "[data-live]")) {
      const next = old.id ? fresh.getElementById(old.id) : fresh.querySelector("." + old.className);
      if (!next) continue;
      if (!all && "places" in old.dataset) keepPlaces(old, next);
      if (next.innerHTML === old.innerHTML) continue;
      if (!all && (old.contains(document.activeElement) || isSelectedIn(old))) continue; // nobody loses their place
      const open = [...old.querySelectorAll("details[open][id]")].map((d) => d.id);
      old.replaceChildren(...next.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      reveal(old);
    }
  };
  const isSelectedIn = (part) => { const s = getSelection(); return !s.isCollapsed && s.containsNode(part, true); };
  const refresh = (all) => exchange(location.href, all).catch(() => {}); // the next time will do
  const isLive = () => document.querySelector("[data-live]");

  const reveal = (within) => {
    for (const button of within.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  };
  reveal(document);

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText("value" in source ? source.value : source.textContent);
      const label = button.querySelector("span");
      button.dataset.copyLabel ??= label.textContent;
      label.textContent = button.dataset.done;
      say(button.dataset.done);
      setTimeout(() => { label.textContent = button.dataset.copyLabel; }, 2000);
    } catch {
      if ("select" in source) source.select(); else getSelection().selectAllChildren(source);
      say(button.dataset.failed ?? "");
    }
  });

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    if (event.target.method !== "post") return;
    event.target.dataset.sent = "yes";
    event.submitter?.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.elements) button.removeAttribute("aria-busy");
    }
  });

  // What is shown once is gone when one comes back, also where a browser keeps the page.
  addEventListener("pagehide", () => {
    for (const once of document.querySelectorAll("[data-once]")) {
      if ("value" in once) once.value = ""; else once.textContent = once.dataset.once;
    }
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted && document.querySelector("input[data-once]")) location.reload();
  });

  const filter = document.querySelector("form[data-filter]");
  if (filter) {
    // What is chosen applies at once. Without this script, there is a button for it.
    for (const button of filter.querySelectorAll("[data-apply]")) button.hidden = true;
    const apply = () => {
      const query = new URLSearchParams([...new FormData(filter)].filter(([, value]) => value !== ""));
      const address = filter.action.split("?")[0] + (query.size ? "?" + query : "");
      exchange(address, true).then(() => {
        history.replaceState(null, "", address);
        const found = document.querySelector("[data-found]");
        if (found) say(found.textContent);
      }, () => filter.submit());
    };
    filter.addEventListener("change", apply);
    filter.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  }

  const url = document.querySelector("[data-suggest]");
  if (url) {
    const form = url.form, hint = document.getElementById("hint"), format = form.elements.format;
    let chosen = format.value !== "" && !form.elements.form, fits = url.dataset.fits, timer = 0, latest = 0;
    // What is said of the other kind of receiver is hidden: chats get less, and check nothing.
    const tell = () => {
      const kind = ["", "json"].includes(format.value || fits) ? "data" : "chat";
      for (const told of form.querySelectorAll("[data-for]")) told.hidden = told.dataset.for !== kind;
    };
    tell(); // a browser may have filled in what it remembers
    format.addEventListener("change", () => { chosen = true; tell(); });
    const suggest = async () => {
      const mine = ++latest;
      const response = await fetch(url.dataset.suggest, {
        method: "POST", body: new URLSearchParams({ _token: form.elements._token.value, url: url.value }), redirect: "error",
      });
      if (!response.ok || mine !== latest) return;
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      hint.replaceChildren(...fresh.body.childNodes);
      fits = response.headers.get("Suggested-Format") ?? "";
      if (!chosen) format.value = fits;
      tell();
    };
    url.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => suggest().catch(() => {}), suggestAfter);
    });
  }

  // What a form did is on the page from the start, which is not read out by itself.
  const done = document.querySelector("[data-did]");
  if (done) say(done.textContent);

  (document.getElementById("faults") ?? document.querySelector("[data-focus]"))?.focus();
  if (zoneIsNew) refresh(true);
  setInterval(() => { if (document.visibilityState === "visible" && isLive()) refresh(false); }, refreshEvery);
})();
