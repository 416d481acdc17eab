// The console's own script: live verdicts, the evidence drawer, the keyboard. Every page also works without it.
// What arrives is markup that the server rendered and escaped; nothing here builds markup out of data.

const $ = (selector, within = document) => within.querySelector(selector);
const rows = $("#rows");
const drawer = $("#drawer");
const KEEP = 200; // rows on the page while it is live
document.documentElement.classList.add("js");
// On a narrow screen the pages' names scroll sideways: the one that is shown is in sight.
const here = $(".top nav [aria-current]");
if (here) here.closest("nav").scrollLeft = here.offsetLeft - here.closest("nav").clientWidth / 2;

// --- say (for screen readers): at most one sentence every few seconds, so that a burst does not talk for minutes ----------
let unsaid = [];
let saying = 0;
function say(text) {
  unsaid.push(text);
  if (saying) return;
  const speak = () => {
    $("#spoken").textContent = unsaid.length > 1 ? `${unsaid.length} new verdicts. Latest: ${unsaid.at(-1)}` : unsaid[0];
    unsaid = [];
    saying = setTimeout(() => { saying = 0; if (unsaid.length) speak(); }, 4000);
  };
  speak();
}

const part = { headers: { "X-Kaizen-Part": "drawer" }, redirect: "follow" }; // only what changes, not the whole page

function parsed(markup) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  return template.content;
}

// --- live ------------------------------------------------------------------------------------------------------------------
let stream = null;
let last = rows?.dataset.after ?? "";
let paused = false;

function state(name, word) {
  const light = $("#live") ?? $("#waiting .live");
  if (light) light.dataset.state = name;
  if ($("#live-word")) $("#live-word").textContent = word;
}

function listen(url, arrived) {
  const address = new URL(url, location.href);
  if (last) address.searchParams.set("after", last);
  stream = new EventSource(address);
  stream.onopen = () => state("on", "Live");
  stream.onerror = () => {
    state("lost", "Reconnecting");
    // The browser tries again by itself, except when the server refused: then the session has ended, or there are too many streams.
    if (stream.readyState === EventSource.CLOSED && !paused) setTimeout(() => paused || listen(url, arrived), 5000);
  };
  stream.addEventListener("verdict", (event) => { last = event.lastEventId; arrived(event.data); });
  stream.addEventListener("today", (event) => $("#today")?.replaceChildren(parsed(event.data)));
  stream.addEventListener("holds", (event) => relist(event.data));
  stream.addEventListener("skipped", () => state("on", "Live, the newest only"));
  stream.addEventListener("signed-out", () => location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`));
}

function prepend(markup) {
  const row = $("tr", parsed(markup));
  if (!row) return;
  // One line for one act: the new one takes the place of what was said of it before.
  const known = [...rows.rows].filter((one) => one.id === row.id || (row.dataset.act && one.dataset.act === row.dataset.act));
  if (known.some((one) => one.classList.contains("open"))) row.classList.add("open");
  for (const one of known) one.remove();
  row.classList.add("fresh");
  rows.prepend(row);
  $("#nothing")?.remove();
  while (rows.rows.length > KEEP) rows.lastElementChild.remove();
  say(row.dataset.said);
}

if (rows?.dataset.live) {
  listen(rows.dataset.live, prepend);
  const pause = $("#pause");
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    stream.close();
    if (paused) state("paused", "Paused");
    else listen(rows.dataset.live, prepend);
  });
} else if ($("#pause")) {
  state("off", "An older page");
  $("#pause").hidden = true;
}

// Waiting for a first action: the server renders what is known then. Only that part is replaced, for the page may show a new key, once.
const waiting = $("#waiting");
if (waiting?.dataset.live) listen(waiting.dataset.live, async () => {
  stream.close();
  const known = $("#waiting", parsed(await (await fetch(waiting.dataset.check)).text()));
  if (known) waiting.replaceWith(known);
  else location.assign(waiting.dataset.check);
});
addEventListener("pagehide", () => stream?.close());

// Held actions: the server renders the list whenever it changes. Who is about to answer keeps the focus and what was opened.
const holds = $("#holds");
function relist(markup) {
  const focused = document.activeElement?.id;
  const opened = [...holds.querySelectorAll("details[open]")].map((one) => one.closest("article").id);
  const before = new Set([...holds.querySelectorAll(".hold")].map((one) => one.id));
  holds.replaceChildren(parsed(markup));
  for (const id of opened) $("details", document.getElementById(id) ?? holds)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  const waits = [...holds.querySelectorAll(".hold")];
  document.title = document.title.replace(/^(\(\d+\) )?/, waits.length ? `(${waits.length}) ` : "");
  for (const one of waits) if (!before.has(one.id)) say(`Waiting for you: ${$("h2", one).textContent}`);
}
if (holds) {
  listen(holds.dataset.live, () => {});
  addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-hold]")) return;
    event.preventDefault();
    for (const button of form.closest("article").querySelectorAll("button")) button.disabled = true;
    const word = $("button", form).textContent;
    const answer = await fetch(form.action, { ...part, method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (new URL(answer.url).pathname.startsWith("/sign-in")) return location.reload();
    relist(await answer.text());
    if (answer.ok) say(`${word}: done`);
    $("#main").focus({ preventScroll: true });
  });
}

// --- the drawer ------------------------------------------------------------------------------------------------------------
let origin = null; // what had the focus when the drawer opened
let newest = 0;    // of two answers on their way, the one asked for last is shown

async function fetched(url, options = {}) {
  const answer = await fetch(url, { ...part, ...options });
  if (new URL(answer.url).pathname.startsWith("/sign-in")) location.reload();
  return answer.text();
}

async function open(url, { push = true, focus = true } = {}) {
  const mine = ++newest;
  const markup = await fetched(url);
  if (mine !== newest) return;
  if (push) history.pushState({ drawer: true }, "", url);
  show(markup, focus);
}

function show(markup, focus) {
  drawer.replaceChildren(parsed(markup));
  drawer.hidden = false;
  drawer.scrollTop = 0;
  mark($(".drawer-body", drawer)?.dataset.id);
  if (focus) ($("#drawer-title", drawer) ?? drawer).focus({ preventScroll: true });
}

function mark(id) {
  for (const row of document.querySelectorAll("tr.open")) row.classList.remove("open");
  if (id) document.getElementById(`v-${id}`)?.classList.add("open");
}

function close({ push = true } = {}) {
  newest++;
  if (!drawer || drawer.hidden) return;
  const id = $(".drawer-body", drawer)?.dataset.id;
  if (push) history.pushState({}, "", $("#drawer-close", drawer).href);
  drawer.hidden = true;
  drawer.replaceChildren();
  mark(null);
  (origin?.isConnected ? origin : $(`#v-${CSS.escape(id ?? "")} a.go`) ?? $("#main")).focus();
}

addEventListener("popstate", () => {
  if (!drawer) return;
  if (/^\/verdicts\/./.test(location.pathname)) open(location.href, { push: false });
  else close({ push: false });
});

addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const target = event.target;
  const copy = target.closest("[data-copy]");
  if (copy) return void copied(copy);
  if (target.closest("#drawer-close")) { event.preventDefault(); return close(); }
  const row = target.closest("table.verdicts tbody tr");
  const link = target.closest("a.go, a[data-open]") ?? (target.closest("a, button") || String(getSelection()) ? null : row && $("a.go", row));
  if (!link) return;
  if (!drawer) { if (!target.closest("a")) location.assign(link.href); return; }
  event.preventDefault();
  if (row) origin = link;
  open(link.href);
});

addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-triage]") || !drawer) return;
  event.preventDefault();
  for (const button of drawer.querySelectorAll("button")) button.disabled = true;
  const word = $("button", form).textContent;
  show(await fetched(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }), true);
  const row = $("template", drawer)?.content.querySelector("tr");
  if (row) document.getElementById(row.id)?.replaceWith(row);
  mark($(".drawer-body", drawer)?.dataset.id);
  if (!$(".problem", drawer)) say(`${word}: done`);
});

// --- the keyboard: j and k or the arrows go through the rows, Enter opens (it is a link), Escape closes, / searches ---------
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && drawer && !drawer.hidden && !typing) { event.preventDefault(); return close(); }
  if (typing) return;
  if (event.key === "/" && $("#q")) { event.preventDefault(); return $("#q").focus(); }
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  const at = event.target.closest("table.verdicts tbody tr");
  // The arrows scroll as everywhere, unless a row has the focus.
  if (!step || (event.key.startsWith("Arrow") && !at)) return;
  const links = [...document.querySelectorAll("table.verdicts a.go")];
  const next = links[at ? links.indexOf($("a.go", at)) + step : 0];
  if (next) { event.preventDefault(); next.focus(); }
});

// --- filters apply as they change; without this script there is a button -----------------------------------------------------
const filters = $("#filters");
filters?.addEventListener("change", () => filters.requestSubmit());
filters?.addEventListener("submit", () => {
  for (const field of filters.elements) if (!field.value) field.disabled = true; // an address without empty parts
});
addEventListener("pageshow", () => { for (const field of filters?.elements ?? []) field.disabled = false; });

async function copied(button) {
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}
