// Live: what changed is fetched and put in place, so that focus, scrolling and open parts stay.
"use strict";
const live = document.getElementById("live");
const stream = `${location.pathname.replace(/\/$/, "")}/live`;
const LOST = "The connection is lost; trying again.";

async function update() {
  const answer = await fetch(location.pathname, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const said = [];
  for (const now of page.querySelectorAll("[data-live]")) {
    const was = document.getElementById(now.id);
    if (!was || was.outerHTML === now.outerHTML) continue;
    if (now.dataset.say && now.dataset.say !== was.dataset.say) said.push(now.dataset.say);
    if (was.contains(document.activeElement)) { // nobody loses their place; once they leave it
      if (now.dataset.say) was.dataset.say = now.dataset.say;
      continue;
    }
    const open = was.querySelector("details[open]");
    if (open && now.querySelector("details")) now.querySelector("details").open = true;
    was.replaceWith(document.adoptNode(now));
  }
  document.title = page.title;
  if (said.length) live.textContent = said.slice(0, 3).join("; ");
}

const renew = () => update().catch(() => { live.textContent = "The server does not answer; trying again."; });

function watch() {
  const source = new EventSource(stream);
  source.addEventListener("change", renew);
  source.addEventListener("open", () => { live.textContent = "Live: changes show by themselves."; });
  source.addEventListener("error", () => {
    live.textContent = LOST;
    // A server that answers with an error is not asked again by the browser itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(watch, 5000);
  });
}

watch();
document.addEventListener("focusout", () => setTimeout(renew, 0));
setInterval(renew, 15000); // how long ago a node was heard grows by itself
