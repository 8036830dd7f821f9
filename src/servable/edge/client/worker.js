// Service worker: keeps all files of the export, so that the page works without a network; and isolates the page, which
// browsers ask of those who want threads. KEPT and FILES are written above by the export.

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const scope = KEPT.slice(0, KEPT.lastIndexOf("-") + 1);
  const old = (name) => name.slice(0, name.lastIndexOf("-") + 1) === scope && name !== KEPT;
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== self.location.origin) return;
  event.respondWith(
    caches.open(KEPT).then((cache) => cache.match(event.request, { ignoreSearch: true })).then(async (kept) => isolated(kept ?? (await fetch(event.request)))),
  );
});

function isolated(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
