// @ts-check
// What script adds: keys, and passkeys. Everything can be read and done without it.

/** @param {string} id */
const go = (id) => { const a = document.querySelector(`.rail a[href="${id}"]`); if (a instanceof HTMLAnchorElement) a.click(); };
let prefix = "";
document.addEventListener("keydown", (e) => {
  const t = e.target;
  if (e.ctrlKey || e.metaKey || e.altKey || (t instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName))) return;
  if (prefix === "g") {
    prefix = "";
    const to = { o: "/", c: "/cases", t: "/trace", r: "/register", s: "/sources", l: "/ledger", f: "/findings", m: "/measures" }[e.key.toLowerCase()];
    if (to) { e.preventDefault(); go(to); }
    return;
  }
  if (e.key === "g") { prefix = "g"; return; }
  if (e.key === "/") { e.preventDefault(); go("/trace"); return; }
  if (e.key === "j" || e.key === "k") {
    const links = [...document.querySelectorAll("[data-rows] a[data-row]")];
    const i = links.indexOf(/** @type {any} */ (document.activeElement));
    const next = links[Math.max(0, Math.min(links.length - 1, e.key === "j" ? i + 1 : i - 1))];
    if (next instanceof HTMLElement) next.focus();
  }
});

/** @param {string} s */
const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
/** @param {ArrayBuffer} b */
const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/** @param {HTMLElement} at @param {string} begin @param {string} finish @param {"create"|"get"} how */
async function passkey(at, begin, finish, how) {
  const note = document.querySelector("[data-passkey-note]");
  try {
    const start = await (await fetch(begin, { method: "POST", headers: { Accept: "application/json" } })).json();
    const o = start.options.publicKey;
    o.challenge = bytes(o.challenge);
    if (o.user) o.user.id = bytes(o.user.id);
    for (const list of [o.excludeCredentials, o.allowCredentials]) for (const c of list || []) c.id = bytes(c.id);
    const cred = /** @type {any} */ (await navigator.credentials[how]({ publicKey: o }));
    const r = cred.response;
    const answer = { id: cred.id, rawId: text(cred.rawId), type: cred.type, response: { clientDataJSON: text(r.clientDataJSON) } };
    if (how === "create") { answer.response.attestationObject = text(r.attestationObject); }
    else Object.assign(answer.response, { authenticatorData: text(r.authenticatorData), signature: text(r.signature), userHandle: r.userHandle ? text(r.userHandle) : null });
    const done = await fetch(finish, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ handle: start.handle, name: at.dataset.name || "", answer }) });
    const out = await done.json();
    if (!done.ok) throw new Error(out.error || done.statusText);
    location.href = out.to;
  } catch (err) {
    if (note) { note.textContent = (note.getAttribute("data-text") || "") + " " + (err instanceof Error ? err.message : ""); note.removeAttribute("hidden"); }
  }
}
for (const b of document.querySelectorAll("[data-passkey]")) {
  if (!(b instanceof HTMLElement) || !window.PublicKeyCredential) continue;
  b.removeAttribute("hidden");
  b.addEventListener("click", () => passkey(b, b.dataset.begin || "", b.dataset.finish || "", b.dataset.passkey === "create" ? "create" : "get"));
}
