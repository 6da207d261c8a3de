// Live: what changed is fetched and put in place, so that focus, scrolling and open parts stay.
"use strict";
const live = document.getElementById("live");
const stream = `${location.pathname.replace(/\/$/, "")}/live`;

async function update() {
  const answer = await fetch(location.pathname, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const said = [];
  for (const now of page.querySelectorAll("[data-live]")) {
    const was = document.getElementById(now.id);
    if (!was || was.outerHTML === now.outerHTML) continue;
    const open = was.querySelector("details[open]");
    if (open && now.querySelector("details")) now.querySelector("details").open = true;
    if (was.contains(document.activeElement)) continue; // nobody loses their place
    if (now.dataset.say && now.dataset.say !== was.dataset.say) said.push(now.dataset.say);
    was.replaceWith(document.adoptNode(now));
  }
  document.title = page.title;
  if (said.length) live.textContent = said.slice(0, 3).join("; ");
}

const source = new EventSource(stream);
source.addEventListener("change", () => update().catch(() => { live.textContent = "The server does not answer; trying again."; }));
source.addEventListener("open", () => { live.textContent = "Live: changes show by themselves."; });
source.addEventListener("error", () => { live.textContent = "The connection is lost; trying again."; });
