// What needs a script: the theme, copying, keys, times that go on, and following the daemon live.
"use strict";
(() => {
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => within.querySelectorAll(selector);

  // --- theme ---------------------------------------------------------------------------------------

  const THEMES = ["system", "light", "dark"];
  const themeButton = one("#theme");
  const theme = () => root.dataset.theme || "system";
  const showTheme = () => { themeButton.textContent = `Theme: ${theme()}`; };
  themeButton.hidden = false;
  showTheme();
  themeButton.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
    if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
    try { if (next === "system") localStorage.removeItem("theme"); else localStorage.setItem("theme", next); } catch { /* not kept */ }
    showTheme();
  });

  // --- copying -------------------------------------------------------------------------------------

  const copied = async (button) => {
    const code = one("code", button.parentElement);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // not given to pages without TLS: select it, so that the keyboard copies it
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (!document.execCommand("copy")) return;
    }
    button.classList.add("done");
    say("Copied");
    setTimeout(() => button.classList.remove("done"), 1500);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.c");
    if (button) copied(button);
  });

  // --- keys ----------------------------------------------------------------------------------------

  const step = (by) => {
    const links = [...all("article h2 a, article h3 a")];
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    const next = links[Math.max(0, Math.min(links.length - 1, at + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (event.key === "/") {
      const field = one("[data-focus]");
      if (field) { event.preventDefault(); field.focus(); field.select(); }
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  });

  // --- times ---------------------------------------------------------------------------------------

  const span = (seconds) => {
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} days`;
  };
  // By the daemon's clock: ours may be wrong.
  let ahead = 0;
  const readClock = () => { ahead = Date.parse(one("#as-of").dateTime) - Date.now(); };
  readClock();
  const age = () => {
    const now = Date.now() + ahead;
    for (const time of all("time:not([data-fixed])")) {
      const seconds = (now - Date.parse(time.dateTime)) / 1000;
      const bare = "bare" in time.dataset;
      const said = span(Math.abs(seconds));
      const text = bare ? said : Math.abs(seconds) < 5 ? "now" : seconds > 0 ? `${said} ago` : `in ${said}`;
      if (time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(age, 10000);

  // --- live ----------------------------------------------------------------------------------------

  const NEWS_MS = 5000;
  const COLLECT_MS = 250;
  const TRIES = 8;
  const STALE_MS = 20000;
  const GIVE_UP_MS = 600000;
  const AWAY_MS = 30000;
  const link = one("#link");
  const news = one("#news");
  let spoken = -NEWS_MS;

  function say(text) {
    news.textContent = "";
    requestAnimationFrame(() => { news.textContent = text; });
  }
  const show = (state, text) => {
    root.dataset.link = state;
    link.hidden = false;
    if (link.textContent !== text) link.textContent = text;
  };

  const region = one("[data-live]");
  if (!region || !window.EventSource) return;
  const concerned = region.dataset.names ? new Set(region.dataset.names.split(" ")) : null;
  let changed = new Map();
  let timer = 0;
  let busy = false;
  let failed = 0;
  let rest = 1000 * Number(region.dataset.pace);
  let last = 0;

  const plan = () => {
    if (timer || busy || document.hidden) return;
    timer = setTimeout(refresh, Math.max(COLLECT_MS, last + rest - performance.now()));
  };

  // Whatever is new in the page's live part comes in; what did not change keeps its focus and its place.
  const refresh = async () => {
    timer = 0;
    busy = true;
    last = performance.now();
    const told = changed;
    const asked = location.href;
    changed = new Map();
    try {
      const answer = await fetch(asked, { headers: { accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = one("[data-live]", page);
      const shown = one("[data-live]");
      if (asked !== location.href || one(".find.htmx-request")) { // somebody searches: what came is not what is wanted
        changed = new Map([...told, ...changed]);
      } else if (fresh && shown) {
        await htmx.swap({ target: shown, text: fresh.outerHTML, swap: "outerMorph" });
        one("#as-of").replaceWith(one("#as-of", page));
        readClock();
        report(told);
      }
      failed = 0;
      if (source.readyState === EventSource.OPEN) show("live", "live");
      // A daemon that is slow to answer is asked less often.
      rest = Math.max(1000 * Number(region.dataset.pace), 4 * (performance.now() - last));
    } catch {
      failed += 1;
      rest = Math.min(60000, 2000 * 2 ** failed);
      changed = new Map([...told, ...changed]);
      if (failed > 2) show("lost", "not up to date");
    }
    busy = false;
    if (changed.size || failed) plan();
  };

  const report = (told) => {
    for (const name of told.keys()) {
      const card = document.getElementById(`e-${name.replaceAll("/", ".")}`);
      if (!card) continue;
      card.classList.add("new");
      setTimeout(() => card.classList.remove("new"), 2000);
    }
    const named = [...told].filter(([name]) => name);
    if (!named.length || performance.now() - spoken < NEWS_MS) return;
    spoken = performance.now();
    const [name, what] = named[0];
    say(named.length === 1 ? `${name}: ${what || "changed"}` : `${named.length} environments changed`);
  };

  let source = null;
  let after = region.dataset.after || "";
  let tries = 0;
  let down = 0;
  const heard = (event) => {
    if (event.lastEventId) after = event.lastEventId;
    let said = {};
    try { said = JSON.parse(event.data); } catch { /* something changed all the same */ }
    const name = said.environment || "";
    if (concerned && !concerned.has(name)) return;
    changed.set(name, [said.sync, said.health].filter(Boolean).join(", "));
    plan();
  };
  const listen = () => {
    source?.close();
    source = new EventSource(`${root.dataset.root}/events${after ? `?after=${encodeURIComponent(after)}` : ""}`);
    source.addEventListener("open", () => {
      if (down) { // what was put off while nobody answered is due now
        clearTimeout(timer);
        timer = failed = 0;
        rest = 1000 * Number(region.dataset.pace);
        changed.set("", "");
        plan();
      }
      tries = 0;
      down = 0;
      show("live", "live");
    });
    source.addEventListener("transition", heard);
    source.addEventListener("error", () => {
      down ||= performance.now();
      if (root.dataset.link !== "lost") show("waiting", "reconnecting …");
      if (source.readyState !== EventSource.CLOSED) return;
      tries += 1;
      if (tries > TRIES) { show("lost", "not live: load again"); return; }
      setTimeout(listen, Math.min(60000, 1000 * 2 ** tries));
    });
  };
  // A page that nobody looks at gives its connection back: a browser has few for one place.
  let away = 0;
  const sleep = () => { source.close(); down = performance.now(); };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(away);
    if (document.hidden) { away = setTimeout(sleep, AWAY_MS); return; }
    age();
    if (source.readyState === EventSource.CLOSED) { tries = 0; down ||= performance.now(); listen(); }
    if (changed.size) plan();
  });
  setInterval(() => {
    const silent = !document.hidden && down && performance.now() - down;
    if (silent > GIVE_UP_MS) { source.close(); tries = TRIES + 1; }
    if (silent > STALE_MS) show("lost", source.readyState === EventSource.CLOSED ? "not live: load again" : "not up to date");
  }, 5000);
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) { changed.set("", ""); listen(); plan(); } });
  listen();
})();
