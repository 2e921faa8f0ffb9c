// Hover and keyboard for the charts. Without it every point is still a link to its details.
const tip = document.getElementById("tip");

function say(mark) {
  const box = mark.getBoundingClientRect();
  tip.textContent = mark.dataset.tip;
  tip.hidden = false;
  const left = box.left + box.width / 2 + scrollX;
  const width = tip.offsetWidth, edge = scrollX + document.documentElement.clientWidth - 8;
  tip.style.left = Math.max(scrollX + 8, Math.min(left - width / 2, edge - width)) + "px";
  const above = box.top + scrollY - tip.offsetHeight - 10;
  tip.style.top = (above > scrollY ? above : box.bottom + scrollY + 10) + "px";
}

function hush() { tip.hidden = true; }

// One stop of the Tab key per chart; arrows go from point to point, in order of latency.
for (const chart of document.querySelectorAll("[data-chart]")) {
  const marks = [...chart.querySelectorAll(".point")];
  const stop = (mark) => marks.forEach((m) => m.setAttribute("tabindex", m === mark ? 0 : -1));
  stop(chart.querySelector('[aria-current="true"]') || marks[0]);
  for (const [i, mark] of marks.entries()) {
    mark.addEventListener("mouseenter", () => say(mark));
    mark.addEventListener("mouseleave", hush);
    mark.addEventListener("focus", () => { stop(mark); if (mark.matches(":focus-visible")) say(mark); });
    mark.addEventListener("blur", hush);
    mark.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1, Home: 0, End: marks.length - 1 }[event.key];
      if (event.key === "Escape") hush();
      if (to === undefined) return;
      event.preventDefault();
      marks[Math.max(0, Math.min(to, marks.length - 1))].focus();
    });
  }
}

// The front's points choose what is shown below it; the address remembers which.
const details = document.querySelector("[data-details]");
function show(id) {
  const chosen = details && document.getElementById(id);
  if (!chosen || chosen.parentNode !== details) return false;
  for (const item of details.children) item.classList.toggle("shown", item === chosen);
  for (const mark of document.querySelectorAll("a.point")) {
    mark.setAttribute("aria-current", mark.getAttribute("href") === "#" + id);
  }
  return true;
}
if (details) {
  details.classList.add("pickable");
  if (!show(location.hash.slice(1))) show(details.dataset.details);
  for (const link of document.querySelectorAll('a[href^="#point-"]')) {
    link.addEventListener("click", (event) => {
      const id = link.getAttribute("href").slice(1);
      if (!show(id)) return;
      event.preventDefault();
      history.replaceState(null, "", "#" + id);
      if (!link.closest("[data-chart]")) document.getElementById(id).scrollIntoView();
    });
  }
}
