// The parts of a view come as server-sent events: their order, and the HTML of those that have
// changed. The server has made and escaped it.
(() => {
  const view = document.getElementById("view"), state = document.getElementById("state"), pause = document.getElementById("pause");
  const login = document.getElementById("login"), token = document.getElementById("token");
  const sections = new Map(), html = new Map();
  let source = null, over = false, paused = false;

  const say = (text, live) => {
    if (state.textContent !== text) state.textContent = text;
    state.dataset.live = live ? "yes" : "no";
  };

  // keep remembers what a person did in a section, by the ids of its elements, and gives what puts
  // it back after the section's HTML is another.
  const keep = section => {
    const had = [...section.querySelectorAll("[id]")].map(e => [e.id, { open: e.open, checked: e.checked, value: e.type === "range" && e.value !== e.max ? e.value : null, content: null }]);
    const near = section.querySelector("#near"), slider = section.querySelector("#near-at");
    const back = near && slider && slider.value !== slider.max ? near.innerHTML : null;
    const scrolled = [...section.querySelectorAll(".scroll")].map(e => e.scrollLeft);
    const focused = section.contains(document.activeElement) ? document.activeElement : null;
    const at = focused ? [...section.querySelectorAll("[tabindex], a, button, input, summary")].indexOf(focused) : -1;
    return () => {
      for (const [id, was] of had) {
        const e = document.getElementById(id);
        if (!e) continue;
        if (was.open !== undefined) e.open = was.open;
        if (was.checked) e.checked = true;
        if (was.value !== null) e.value = was.value;
      }
      if (back !== null && section.querySelector("#near")) { section.querySelector("#near").innerHTML = back; label(section.querySelector("#near-at")); }
      section.querySelectorAll(".scroll").forEach((e, i) => { e.scrollLeft = scrolled[i] ?? 0; });
      if (at >= 0) [...section.querySelectorAll("[tabindex], a, button, input, summary")][at]?.focus({ preventScroll: true });
    };
  };

  const put = (section, text) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = text;
    const chart = fresh.content.firstElementChild, old = section.firstElementChild;
    if (chart?.matches(".chart") && old?.matches(".chart")) { // the figure stays, with focus and pointer
      old.dataset.chart = chart.dataset.chart;
      old.setAttribute("aria-label", chart.getAttribute("aria-label"));
      old.replaceChildren(...chart.childNodes);
      old.refresh();
      return;
    }
    const restore = keep(section);
    section.replaceChildren(fresh.content);
    section.querySelectorAll(".chart").forEach(liveChart);
    restore();
  };

  const show = ({ order, parts }) => {
    for (const [id, section] of sections) {
      if (!order.includes(id)) { section.remove(); sections.delete(id); html.delete(id); }
    }
    let before = null;
    for (const id of order) {
      let section = sections.get(id);
      if (!section) {
        section = document.createElement("section");
        section.dataset.part = id;
        if (id.startsWith("chart-")) section.className = "cell";
        sections.set(id, section);
      }
      const place = before ? before.nextElementSibling : view.firstElementChild;
      if (place !== section) view.insertBefore(section, place);
      before = section;
      if (id in parts && html.get(id) !== parts[id]) {
        html.set(id, parts[id]);
        put(section, parts[id]);
        section.hidden = parts[id] === "";
      }
    }
    const title = view.querySelector("h1");
    if (title) document.title = title.textContent + " – resslt";
  };

  const close = () => { source?.close(); source = null; };
  const open = () => {
    if (source || over || paused || document.hidden) return;
    say("connecting", false);
    source = new EventSource("/events" + location.pathname + location.search);
    source.onopen = () => say("live", true);
    source.onmessage = e => { say("live", true); show(JSON.parse(e.data)); };
    source.addEventListener("end", () => { over = true; close(); pause.hidden = true; say("the process has ended: resslt web shows its run further", false); });
    source.onerror = async () => {
      if (over || paused || !source) return;
      say("connection lost, trying again", false);
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      close();
      let answer = null;
      try { answer = await fetch("/allowed"); } catch { /* it is away */ }
      if (answer?.status === 401) { say("a token is needed", false); login.hidden = false; token.focus(); return; }
      if (answer?.ok) say("not shown: too many pages are open", false);
      setTimeout(open, 3000);
    };
  };

  const enter = async value => {
    const answer = await fetch("/login", { method: "POST", body: value });
    login.hidden = answer.ok;
    if (answer.ok) open(); else { say("that is not the token", false); token.focus(); }
  };
  login.addEventListener("submit", e => { e.preventDefault(); enter(token.value); });

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) { close(); say("paused", false); } else open();
  });
  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => { if (document.hidden) { close(); if (!over && !paused) say("not looked at", false); } else open(); });

  // The plan of the view that is looked at.
  const plan = e => {
    const figure = e.target.closest?.("[data-plan]");
    if (figure) figure.closest(".sheet").nextElementSibling.textContent = figure.dataset.plan;
  };
  for (const kind of ["pointerover", "focusin", "click"]) view.addEventListener(kind, plan);

  // Views of a recorded step are made when they are asked for.
  view.addEventListener("submit", async e => {
    if (e.target.id !== "recall") return;
    e.preventDefault();
    const into = document.getElementById("recalled"), button = document.getElementById("recall-show");
    button.disabled = true;
    try {
      const answer = await fetch(location.pathname + "/views?step=" + document.getElementById("recall-step").value);
      into.innerHTML = answer.ok ? await answer.text() : "";
      if (!answer.ok) into.textContent = await answer.text();
    } catch { into.textContent = "The server is away."; }
    button.disabled = false;
  });

  // Neighbours after another epoch.
  const label = slider => {
    const epochs = slider.dataset.epochs.split(" ");
    slider.nextElementSibling.textContent = epochs[slider.value];
    slider.setAttribute("aria-valuetext", "epoch " + epochs[slider.value]);
  };
  view.addEventListener("input", async e => {
    const slider = e.target;
    if (slider.id !== "near-at") return;
    label(slider);
    const step = slider.dataset.steps.split(" ")[slider.value];
    const answer = await fetch(location.pathname + "/neighbours?step=" + step);
    const near = document.getElementById("near");
    if (near && slider.dataset.steps.split(" ")[slider.value] === step) near.innerHTML = answer.ok ? await answer.text() : "";
  });

  const given = location.hash.match(/^#token=(.+)$/);
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    enter(decodeURIComponent(given[1]));
  } else open();
})();
