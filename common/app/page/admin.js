// Additions to pages that work without them: refresh, theme, Escape. Nothing is drawn here.
const $ = id => document.getElementById(id);
const root = document.documentElement;

const store = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* a private window */ } },
};

// --- theme: the same choice as the explorer's

const themes = ["", "light", "dark"];
const showTheme = theme => {
  if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
};
showTheme(store.get("theme") || "");
$("theme").hidden = false;
$("theme").addEventListener("click", () => {
  const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
  store.set("theme", next);
  showTheme(next);
});

// --- refresh: what the server writes takes the place of what is shown

const policy = window.trustedTypes?.createPolicy("refresh", { createHTML: text => text });
const every = $("every");
let asking = false;
let lost = null;

// Not while somebody reads, marks, types or decides.
const isBusy = () => asking || document.hidden || document.querySelector("dialog") !== null ||
  !getSelection().isCollapsed || ["INPUT", "SELECT"].includes(document.activeElement?.tagName);

async function refresh() {
  if (isBusy()) return;
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    const page = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
    if (document.querySelector("main *:focus")) return;
    document.querySelector("main").replaceWith(page.querySelector("main"));
    $("answered").replaceWith(page.getElementById("answered"));
    lost = null;
  } catch {
    lost ??= new Date().toISOString().slice(11, 19);
    $("answered").textContent = `No connection since ${lost} UTC. What you see is from before.`;
  } finally {
    asking = false;
  }
}

// A page of a large ring costs the server something: a tenth of the time at most is spent on it.
let timer = 0;
const schedule = (taken = 0) => {
  clearTimeout(timer);
  if (Number(every.value) > 0)
    timer = setTimeout(tick, Math.max(Number(every.value) * 1000, 10 * taken));
};
async function tick() {
  const start = performance.now();
  await refresh();
  schedule(performance.now() - start);
}
const known = store.get("every");
if (known !== null && [...every.options].some(o => o.value === known)) every.value = known;
every.addEventListener("change", () => { store.set("every", every.value); schedule(); every.blur(); });
$("refresh").hidden = false;
schedule();

// --- a dialog is a page of its own: Escape goes back

for (const cap of document.querySelectorAll("kbd[hidden]")) cap.hidden = false;
addEventListener("keydown", event => {
  const keep = document.querySelector("dialog a.box");
  if (event.key === "Escape" && keep) keep.click();
});
