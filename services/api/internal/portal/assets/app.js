// What makes the pages nicer. Everything works without it.
(() => {
  "use strict";
  // Between two looks at what changes by itself: the longer nothing did, the longer.
  const soonest = 3_000, rarest = 60_000, whileAway = 10_000;
  const patience = 10_000;
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

  // What the server wrote, to compare with what it writes later: the page itself changes
  // by what is opened, copied and pressed.
  const parts = "[data-live], [data-exchange], .foot";
  const served = new WeakMap();
  const remember = (within) => { for (const part of within.querySelectorAll(parts)) served.set(part, part.innerHTML); };
  remember(document);
  // Times pass; that is no news.
  const news = (html) => html.replace(/<time[^>]*>[^<]*<\/time>/g, "");

  // exchange puts what the page at an address shows in place of what this one does: all
  // of it, or what changes by itself. It returns that page and whether there is news;
  // null when another was asked for meanwhile.
  let asked = 0;
  const exchange = async (address, all) => {
    const mine = ++asked;
    const response = await fetch(address, { headers: { Accept: "text/html" }, redirect: "manual", signal: AbortSignal.timeout(patience) });
    if (!response.ok) throw Object.assign(new Error("answered " + response.status), { isEnd: [0, 401, 403, 404].includes(response.status) });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (mine !== asked) return null;
    let isNews = false;
    for (const old of document.querySelectorAll(all ? parts : "[data-live]")) {
      const next = old.id ? fresh.getElementById(old.id) : fresh.querySelector("." + old.className);
      if (!next) continue;
      if (!all && "places" in old.dataset) keepPlaces(old, next);
      if (next.innerHTML === served.get(old)) continue;
      if (!all && isTypedOrSelectedIn(old)) continue; // nobody loses their place
      if (old.querySelector("form[data-filter]") && next.querySelector("form[data-filter]")) continue; // it is being chosen
      isNews ||= news(next.innerHTML) !== news(served.get(old) ?? "");
      if (!all && next.dataset.say && next.dataset.say !== old.dataset.say) say(next.dataset.say);
      replace(old, next);
    }
    return { fresh, isNews };
  };

  // keepPlaces leaves what is seen where it is: nothing moves away under a finger.
  const keepPlaces = (old, next) => {
    const places = new Map([...old.children].map((child, place) => [child.id, place]));
    const place = (child) => places.get(child.id) ?? -1; // what is new goes first
    next.append(...[...next.children].sort((a, b) => place(a) - place(b)));
  };
  const isTypedOrSelectedIn = (part) => {
    if (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return true;
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(part, true);
  };

  // replace leaves open what was, and the focus where it was.
  const replace = (old, next) => {
    served.set(old, next.innerHTML);
    if (next.dataset.say !== undefined) old.dataset.say = next.dataset.say;
    const focused = old.contains(document.activeElement) && document.activeElement !== old ? nameOf(document.activeElement) : "";
    const open = [...old.querySelectorAll("details[open][id]")].map((d) => d.id);
    old.replaceChildren(...next.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    remember(old);
    reveal(old);
    if (!focused) return;
    const again = [...old.querySelectorAll("a, button, input, select, summary, [tabindex]")].find((e) => nameOf(e) === focused);
    if (!again) old.tabIndex = -1; // it is gone: go on from here
    (again ?? old).focus({ preventScroll: true });
  };
  const nameOf = (e) => e.id || [e.tagName, e.getAttribute("href"), e.getAttribute("formaction") ?? e.form?.getAttribute("action"), e.name, e.closest("details")?.id].join(" ");

  const reveal = (within) => {
    for (const button of within.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
    // What is chosen applies at once. Without this script, there is a button for it.
    for (const button of within.querySelectorAll("form[data-filter] [data-apply]")) button.hidden = true;
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

  // Whoever switches a webhook far down a list stays there. A browser may refuse to store.
  const keepScroll = () => { try { sessionStorage.setItem("scroll", location.pathname + " " + scrollY); } catch {} };
  const restoreScroll = () => {
    try {
      const [path, y] = (sessionStorage.getItem("scroll") ?? "").split(" ");
      sessionStorage.removeItem("scroll");
      if (path === location.pathname) scrollTo({ top: Number(y), behavior: "instant" });
    } catch {}
  };

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    if (event.target.method !== "post") return;
    event.target.dataset.sent = "yes";
    event.submitter?.setAttribute("aria-busy", "true");
    if (event.submitter?.matches(".switch")) keepScroll();
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
    if (event.persisted && document.querySelector("[data-once]")) location.reload();
  });

  // What is chosen is in the address: it can be passed on, and the way back leads through it.
  let choosing = 0;
  const choose = async (address, then) => {
    choosing++;
    try {
      const got = await exchange(address, true);
      if (!got) return;
      then(got.fresh);
      const found = document.querySelector("[data-found]");
      if (found) say(found.textContent);
    } finally {
      choosing--;
      look(soonest);
    }
  };
  const apply = (form) => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    const address = form.action.split("?")[0] + (query.size ? "?" + query : "");
    choose(address, () => { if (address !== location.href) history.pushState(null, "", address); }).catch(() => form.submit());
  };
  document.addEventListener("input", (event) => {
    const choice = document.getElementById(event.target.dataset.selects);
    if (choice) choice.checked = true;
  });
  document.addEventListener("change", (event) => { if (event.target.form?.matches("[data-filter]")) apply(event.target.form); });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-filter]")) return;
    event.preventDefault();
    apply(event.target);
  });
  addEventListener("popstate", () => {
    const form = document.querySelector("form[data-filter]");
    if (!form) return; // a link within the page
    choose(location.href, (fresh) => {
      for (const field of form.querySelectorAll("[id][name]")) {
        const then = fresh.getElementById(field.id);
        if (then && field.type === "radio") field.checked = then.checked;
        else if (then) field.value = then.value;
      }
    }).catch(() => location.reload());
  });

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
  if (done) {
    say(done.textContent);
    restoreScroll();
    const address = new URL(location.href);
    address.searchParams.delete("done"); // loaded again, the page does not say it again
    history.replaceState(history.state, "", address);
  }

  (document.getElementById("faults") ?? document.querySelector("[data-focus]"))?.focus();

  // What changes by itself is looked at while somebody may see it. When the server is
  // away for a while, the page says so and goes on.
  const away = document.getElementById("away");
  let wait = soonest, timer = 0, failed = 0;
  const tell = (text) => {
    const told = away.querySelector("span");
    if (text && told.textContent !== text) say(text);
    away.hidden = !text;
    told.textContent = text;
  };
  const look = (after) => {
    clearTimeout(timer);
    wait = after;
    if (document.visibilityState === "visible" && document.querySelector("[data-live]")) timer = setTimeout(refresh, wait);
  };
  const refresh = async () => {
    if (choosing) return; // it looks again itself
    try {
      const got = await exchange(location.href, false);
      if (failed > 1) { tell(""); say(away.dataset.back); }
      failed = 0;
      look(!got || got.isNews ? soonest : Math.min(wait * 1.5, rarest));
    } catch (fault) {
      if (fault.isEnd) { tell(away.dataset.ended); return; }
      if (++failed > 1) tell(away.dataset.away); // once may be chance, or somebody leaving the page
      look(failed > 1 ? whileAway : soonest);
    }
  };
  document.addEventListener("visibilitychange", () => look(document.visibilityState === "visible" ? 0 : wait));
  if (zoneIsNew) exchange(location.href, true).catch(() => {}); // the next time will do
  look(soonest);
})();
