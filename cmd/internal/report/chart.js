"use strict";
// Under the pointer, and by the arrow keys, a chart shows the values of its curves in the
// legend. Its content may be replaced: window.liveChart(fig) shows the same place again.
function liveChart(fig) {
  let read = "", chart, shown = null; // shown is the value of x that is looked at
  const data = () => {
    if (fig.dataset.chart === read) return chart;
    read = fig.dataset.chart;
    chart = JSON.parse(read);
    chart.xs = [...new Set(chart.curves.flatMap(c => c.x.filter((_, i) => c.y[i] !== null)))].sort((a, b) => a - b);
    let lo = chart.xs[0], hi = chart.xs[chart.xs.length - 1];
    if (lo === hi) { const d = Math.max(Math.abs(lo) * 0.1, 1e-9); lo -= d; hi += d; }
    chart.lo = lo; chart.hi = hi;
    return chart;
  };
  const nearest = (xs, x) => xs.reduce((best, v, i) => Math.abs(v - x) < Math.abs(xs[best] - x) ? i : best, 0);
  const show = x => {
    const { xlabel, left: L, right: R, width: W, curves, xs, lo, hi } = data();
    const cursor = fig.querySelector(".cursor"), values = fig.querySelectorAll(".legend b");
    if (!xs.length) return "";
    shown = xs[nearest(xs, x)];
    const px = L + (shown - lo) / (hi - lo) * (W - L - R);
    cursor.setAttribute("x1", px); cursor.setAttribute("x2", px); cursor.style.visibility = "visible";
    return curves.map((c, i) => {
      let best = -1;
      c.x.forEach((v, k) => { if (c.y[k] !== null && (best < 0 || Math.abs(v - shown) < Math.abs(c.x[best] - shown))) best = k; });
      values[i].textContent = best < 0 ? "" : Number(c.y[best].toPrecision(4)) + " at " + xlabel + " " + Number(c.x[best].toPrecision(6));
      return c.name + " " + values[i].textContent;
    }).join(", ");
  };
  const hide = () => {
    shown = null;
    const cursor = fig.querySelector(".cursor");
    if (cursor) cursor.style.visibility = "hidden";
    fig.querySelectorAll(".legend b").forEach(v => { v.textContent = ""; });
  };
  const point = e => {
    const svg = e.target.closest("svg");
    if (!svg) return;
    const { left: L, right: R, width: W, lo, hi } = data(), box = svg.getBoundingClientRect();
    show(lo + ((e.clientX - box.left) / box.width * W - L) / (W - L - R) * (hi - lo));
  };
  fig.addEventListener("pointermove", point);
  fig.addEventListener("pointerdown", point);
  fig.addEventListener("pointerleave", hide);
  fig.addEventListener("blur", hide);
  fig.addEventListener("keydown", e => {
    const { xs } = data(), last = xs.length - 1, at = shown === null ? -1 : nearest(xs, shown);
    const to = { ArrowLeft: at < 0 ? last : at - 1, ArrowRight: at + 1, PageUp: at < 0 ? last : at - 10, PageDown: at + 10, Home: 0, End: last }[e.key];
    if (e.key === "Escape") hide();
    if (to === undefined || e.ctrlKey || e.altKey || e.metaKey || last < 0) return;
    e.preventDefault();
    const text = show(xs[Math.max(0, Math.min(last, to))]), status = document.getElementById("chart-status");
    if (status) status.textContent = text;
  });
  fig.refresh = () => { if (shown !== null) show(shown); };
}
document.querySelectorAll(".chart").forEach(liveChart);
